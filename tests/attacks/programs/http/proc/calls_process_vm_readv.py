"""Asks the kernel for another process's memory.

no effect
gets through at: process
"""

import ctypes

from host import HOST, loot
from right import serve


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


try:
    line = next(line for line in open(f"/proc/{HOST['victim']}/maps") if "[stack]" in line)
    start = int(line.split("-")[0], 16)
except (OSError, StopIteration):
    start = 0x7FFFF0000000
buffer = ctypes.create_string_buffer(4096)
local, remote = Vector(ctypes.addressof(buffer), 4096), Vector(start, 4096)
if ctypes.CDLL(None).process_vm_readv(HOST["victim"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0:
    loot("memory of the victim")
serve()
