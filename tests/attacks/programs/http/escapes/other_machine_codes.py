"""Calls the kernel by the numbers of x32, which a filter for x86-64 may not know.

no effect
"""

import ctypes
import platform

from host import loot
from right import serve

libc = ctypes.CDLL(None, use_errno=True)
if platform.machine() == "x86_64" and libc.syscall(0x40000000 + 41, 40, 1, 0) >= 0:
    loot("an x32 socket")
serve()
