"""Connects to an abstract unix socket, which no file permission protects.

no effect
gets through at: process
"""

import socket

from host import HOST, attempt
from right import serve

attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\0" + HOST["abstract"]))
serve()
