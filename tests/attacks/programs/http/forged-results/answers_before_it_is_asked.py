"""Sends an answer as soon as the connection is open, before any request came.

must not pass
"""

import os
import socket

from right import Handler

GUESS = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"text": ""}'
with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as server:
    while True:
        connection, _ = server.accept()
        connection.sendall(GUESS * 3)
        try:
            connection.recv(65536)
        except OSError:
            pass
        connection.close()
