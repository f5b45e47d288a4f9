"""Connects to a unix socket of the host, as those of Docker, of the session bus and of ssh-agent.

no effect
gets through at: process
"""

import socket

from host import HOST, attempt
from right import serve

attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect(HOST["unix"]))
serve()
