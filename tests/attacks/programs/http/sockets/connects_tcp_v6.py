"""Connects to the host by IPv6 and by mapped addresses.

no effect
gets through at: process
"""

import socket

from host import HOST, attempt
from right import serve


def connect(family, address):
    with socket.socket(family) as probe:
        probe.settimeout(1)
        probe.connect((address, HOST["tcp"]))


attempt("mapped", lambda: connect(socket.AF_INET6, "::ffff:127.0.0.1"))
attempt("any address", lambda: connect(socket.AF_INET, "0.0.0.0"))
serve()
