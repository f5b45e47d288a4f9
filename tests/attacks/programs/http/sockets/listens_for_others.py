"""Listens on a port of its choice, to be found by whoever looks for a service of the host.

no effect
gets through at: process
"""

import socket

from host import loot
from right import serve

interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
try:
    where = socket.create_server(("0.0.0.0", 0)).getsockname()
    if interfaces != ["lo"]:  # in a network of its own nobody finds it
        loot(f"{where} on {interfaces}")
except OSError:
    pass
serve()
