"""Floods standard error from a thread while it answers.

must not pass
"""

import sys
import threading

from right import serve


def flood():
    while True:
        sys.stderr.write("x" * 65536)


threading.Thread(target=flood, daemon=True).start()
threading.Event().wait()
serve()
