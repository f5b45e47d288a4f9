"""Takes shared memory that would outlive it: SysV segments.

no effect
gets through at: process
"""

import ctypes

from host import attempt
from right import serve

libc = ctypes.CDLL(None, use_errno=True)


def take():
    segment = libc.shmget(0, 2**20, 0o1600)
    if segment < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmctl(segment, 0, None)  # removed again: the test shall leave nothing either
    return segment


attempt("a SysV segment", take)
serve()
