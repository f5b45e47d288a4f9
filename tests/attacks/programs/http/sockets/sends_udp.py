"""Sends datagrams to the host and asks a name server.

no effect
gets through at: process
"""

import socket

from host import HOST, attempt
from right import serve

attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", HOST["udp"])))
serve()
