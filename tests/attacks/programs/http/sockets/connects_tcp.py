"""Connects to a service of the host on 127.0.0.1.

no effect
gets through at: process
sample
"""

import socket

from host import HOST, attempt
from right import serve

attempt("tcp", lambda: socket.create_connection(("127.0.0.1", HOST["tcp"]), 2).close())
serve()
