"""Attaches to another process as a debugger.

no effect
gets through at: process
"""

import ctypes
import os

from host import HOST, loot
from right import serve

libc = ctypes.CDLL(None)
if libc.ptrace(0x4206, HOST["victim"], 0, 0) == 0:  # PTRACE_SEIZE: it does not stop the victim
    loot("attached")
    libc.ptrace(17, HOST["victim"], 0, 0)
serve()
