"""Opens the memory and descriptors of its parent and of process 1 for writing.

no effect
gets through at: process
"""

import os

from host import attempt
from right import serve

for pid in (os.getppid(), 1):
    if pid != os.getpid() and pid > 0:
        attempt(f"memory of {pid}", lambda pid=pid: open(f"/proc/{pid}/mem", "r+b").close())
        attempt(f"descriptors of {pid}", lambda pid=pid: os.listdir(f"/proc/{pid}/fd"))
serve()
