"""Keeps data in an anonymous file in memory, which no file limit counts.

no effect
gets through at: process
"""

import os

from host import attempt
from right import serve


def take():
    handle = os.memfd_create("hog")
    os.write(handle, bytes(2**20))
    os.close(handle)
    return "1 MiB"


attempt("an anonymous file", take)
serve()
