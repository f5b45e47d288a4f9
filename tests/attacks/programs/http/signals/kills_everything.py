"""Kills every process that it may.

no effect
gets through at: process
alone
"""

import os
import signal

from right import serve

try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
serve()
