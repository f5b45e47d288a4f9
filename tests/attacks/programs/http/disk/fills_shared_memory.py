"""Fills memory that looks like a disk with 300 MB: /dev/shm and /tmp.

no effect
gets through at: process
"""

import os

from host import loot
from right import serve

for folder in ("/dev/shm", "/tmp"):
    path = f"{folder}/hog-{os.getpid()}"
    try:
        with open(path, "wb") as file:
            for _ in range(30):
                file.write(bytes(10 * 2**20))
        loot(f"300 MB in {folder}")
    except OSError:
        pass
    try:
        os.remove(path)
    except OSError:
        pass
serve()
