"""The line between a run and its keeper: JSON objects, one a line, each with the descriptors that belong to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

_BYTES = 256 * 1024
_MOST_DESCRIPTORS = 64


class Line:
    """One end of a Unix stream socket.

    Attributes:
        closed: the other end has gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._data = b""
        self._descriptors: list[int] = []
        self.closed = False

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message and copies of open files.

        Raises:
            OSError: the other end has gone.
        """
        data = json.dumps({**message, "descriptors": len(descriptors)}).encode() + b"\n"
        sent = socket.send_fds(self._connection, [data], descriptors) if descriptors else 0
        self._connection.sendall(data[sent:])

    def receive(self) -> list[tuple[dict[str, Any], list[int]]]:
        """Wait for data; the messages that are whole by now, often one, sometimes several or none."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, _BYTES, _MOST_DESCRIPTORS)
        except OSError:
            data, descriptors = b"", []
        self.closed = not data
        self._descriptors += descriptors
        *whole, self._data = (self._data + data).split(b"\n")
        return [self._with_descriptors(json.loads(line)) for line in whole]

    def _with_descriptors(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        count = message.pop("descriptors")
        mine, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return message, mine
