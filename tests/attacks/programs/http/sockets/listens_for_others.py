"""Listens on other ports, to be found by whoever looks for a service of the host.

no effect
gets through at: process
"""

import socket

from host import attempt
from right import serve

attempt("a port of its choice", lambda: socket.create_server(("0.0.0.0", 0)).getsockname())
serve()
