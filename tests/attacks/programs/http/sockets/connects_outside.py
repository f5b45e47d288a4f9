"""Connects to the world.

no effect
gets through at: process
"""

import errno
import socket

from host import loot
from right import serve

with socket.socket() as probe:
    probe.setblocking(False)
    # An address that is reserved for documentation: that the kernel tries at all is the breach.
    if probe.connect_ex(("192.0.2.1", 443)) == errno.EINPROGRESS:
        loot("a packet to the world")
serve()
