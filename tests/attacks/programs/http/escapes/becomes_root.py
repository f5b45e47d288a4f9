"""Asks to be another user.

no effect
gets through at: process
"""

import os

from host import attempt
from right import serve


def become():
    os.setresuid(0, 0, 0)
    return os.getresuid()


attempt("root", become)
serve()
