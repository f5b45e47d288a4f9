"""Makes a user namespace with clone and clone3 instead of unshare.

no effect
gets through at: process
"""

import ctypes
import os
import platform

from host import loot
from right import serve

libc = ctypes.CDLL(None, use_errno=True)
if platform.machine() == "x86_64":
    child = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)  # clone(CLONE_NEWUSER | SIGCHLD)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
        loot("clone made a user namespace")
    arguments = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)
    child = libc.syscall(435, ctypes.byref(arguments), 64)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
        loot("clone3 made a user namespace")
serve()
