"""Kills its parent and whatever stands above it.

no effect
gets through at: process
alone
"""

import os
import signal

from right import serve

targets = [os.getppid()]
try:
    while targets[-1] > 1:
        status = open(f"/proc/{targets[-1]}/stat").read()
        targets.append(int(status.rpartition(")")[2].split()[1]))
except (OSError, ValueError, IndexError):
    pass
for target in targets:
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        try:
            if target > 1:
                os.kill(target, number)
        except OSError:
            pass
serve()
