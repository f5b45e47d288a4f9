"""Listens and never accepts.

must not pass
"""

import os
import socket
import time

server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
time.sleep(3600)
