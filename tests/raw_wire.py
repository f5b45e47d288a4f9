"""A raw connection to the double, for tests of what no SDK would send."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

from grader.model.server import ModelDouble

PATIENCE = 20  # seconds a test waits for what comes at once
HEADERS = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}], **more}


class Wire:
    """A raw connection."""

    def __init__(self, double: ModelDouble) -> None:
        port = int(double.anthropic_base_url.rpartition(":")[2])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def send(self, data: bytes) -> Wire:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)
        return self

    def half_close(self) -> Wire:
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one reply, of whatever length; (0, …) when the connection ends without one."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while b"\r\n\r\n" not in data and (more := self.socket.recv(65536)):
                data += more
        head, _, body = data.partition(b"\r\n\r\n")
        if not head:
            return 0, {}, b""
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"]) if "content-length" in headers else None
        with contextlib.suppress(ConnectionResetError):
            while (length is None or len(body) < length) and (more := self.socket.recv(65536)):
                body += more
        return int(first.split()[1]), headers, body

    def close(self) -> None:
        self.socket.close()


def request_bytes(
    path: str = "/v1/chat/completions", body: bytes | None = None, *head: str, version: str = "1.1"
) -> bytes:
    body = json.dumps(chat("hello")).encode() if body is None else body
    lines = (f"POST {path} HTTP/{version}", "host: x", "authorization: Bearer k", f"content-length: {len(body)}", *head)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error_of(body: bytes) -> dict[str, Any]:
    """The error of a body in a shape that both SDKs read."""
    told: dict[str, Any] = json.loads(body)["error"]
    assert told["message"]
    assert told["type"]
    return told


def one_reply(wire: Wire) -> tuple[int, dict[str, str], bytes]:
    """One of several replies on a connection: reads not a byte too many."""
    file = wire.socket.makefile("rb", buffering=0)
    status = int(file.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    while len(body) < int(headers["content-length"]):
        body += file.read(int(headers["content-length"]) - len(body))
    return status, headers, body
