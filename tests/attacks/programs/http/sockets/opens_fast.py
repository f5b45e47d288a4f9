"""Sends data with the first packet of a connection, which some filters forget.

no effect
gets through at: process
"""

import socket

from host import HOST, attempt
from right import serve


def send():
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.sendto(b"x", 0x20000000, ("127.0.0.1", HOST["tcp"])) < 1:  # MSG_FASTOPEN
            raise OSError("nothing sent")


attempt("fast open", send)
serve()
