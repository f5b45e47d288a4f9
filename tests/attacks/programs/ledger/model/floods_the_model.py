"""Opens 300 connections to the model, sends half a request on each, hangs up, and then does its work.

no effect
"""

import os
import socket
from urllib.parse import urlsplit

from right import serve

WHERE = urlsplit(os.environ["ANTHROPIC_BASE_URL"])
FLOOD = []
for _ in range(300):
    try:
        connection = socket.create_connection((WHERE.hostname, WHERE.port), 5)
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nContent-Length: 1000000\r\n")
        FLOOD.append(connection)
    except OSError:
        break
for connection in FLOOD:
    connection.close()
serve()
