"""Opens sockets that see or forge the packets of others, and kinds that lead out of a virtual machine.

no effect
gets through at: process
"""

import socket

from host import attempt
from right import serve

KINDS = {
    "packet": (17, socket.SOCK_RAW, 3),
    "raw": (socket.AF_INET, socket.SOCK_RAW, 1),
    "netlink": (16, socket.SOCK_RAW, 0),
    "vsock": (40, socket.SOCK_STREAM, 0),
    "crypto": (38, socket.SOCK_SEQPACKET, 0),
}
for name, kind in KINDS.items():
    attempt(name, lambda kind=kind: socket.socket(*kind).close())
serve()
