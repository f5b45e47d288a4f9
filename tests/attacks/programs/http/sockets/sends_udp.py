"""Sends datagrams to the host.

no effect
gets through at: process
"""

import socket

from host import HOST
from right import serve

try:
    # Whether they arrive shows at the host: in a network of its own they go nowhere.
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", HOST["udp"]))
except OSError:
    pass
serve()
