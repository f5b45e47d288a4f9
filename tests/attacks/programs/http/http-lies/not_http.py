"""Answers with bytes that are not HTTP.

must not pass
"""

import os
import socket

with socket.create_server(("127.0.0.1", int(os.environ["PORT"]))) as server:
    while True:
        connection, _ = server.accept()
        connection.sendall(b"\x00\xff\x16\x03\x01 220 ready\r\n\r\n")
        connection.close()
