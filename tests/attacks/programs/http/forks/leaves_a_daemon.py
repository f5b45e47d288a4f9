"""Forks away twice into a session of its own, closes all streams and lives on.

no effect
sample
"""

import os
import time

from right import serve

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        time.sleep(3600)
    os._exit(0)
serve()
