"""Makes namespaces in which it would be root.

no effect
gets through at: process
sample
"""

import ctypes
import os

from host import loot
from right import serve

libc = ctypes.CDLL(None, use_errno=True)
for name, flag in {"user": 0x10000000, "mount": 0x00020000, "process": 0x20000000, "network": 0x40000000}.items():
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.unshare(flag) == 0 else 1)
    if os.waitpid(child, 0)[1] == 0:
        loot(f"a {name} namespace")
serve()
