"""Calls the kernel through the 32-bit gate, where the numbers mean other things.

no effect
gets through at: process
"""

import ctypes
import mmap
import os
import platform

from host import loot
from right import serve

# mov eax, 20 (getpid in the 32-bit table); int 0x80; ret
CODE = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
if platform.machine() == "x86_64":
    child = os.fork()
    if child == 0:
        try:
            page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            page.write(CODE)
            call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
            os._exit(0 if call() == os.getpid() else 1)
        except BaseException:
            os._exit(1)
    if os.waitpid(child, 0)[1] == 0:
        loot("the 32-bit gate is open")
serve()
