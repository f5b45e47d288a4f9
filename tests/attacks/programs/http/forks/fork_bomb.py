"""Forks as fast as it can; here at most 400 processes, because at some levels nothing else bounds it.

must not pass
alone
"""

import os
import signal

for _ in range(400):
    try:
        if os.fork() == 0:
            signal.pause()
    except OSError:
        break
signal.pause()
