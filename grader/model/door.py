"""Lets connections in: how many at once, what becomes of half-closed ones, and what is said to who speaks no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from grader.model.wires.wire import new_id

MOST_CONNECTIONS = 2000
IDLE_SECONDS = 75.0  # also for a client that never ends its headers
BIGGEST_HEADER = 32 * 1024
# A client that has closed its side may still be reading (`nc -N` does), or be gone: the first does not wait longer.
HALF_CLOSED_SECONDS = 0.05


class Door(web.Server):
    """A server of ours: aiohttp's, with limits and with errors that any vendor's SDK can read."""

    def __init__(self, handler: Any) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,  # a client that hangs up cancels the handler: that is how we notice
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            max_field_size=BIGGEST_HEADER,
            max_line_size=BIGGEST_HEADER,
        )
        self.most_connections = min(MOST_CONNECTIONS, _open_files() // 2)

    def __call__(self) -> RequestHandler:
        return Visitor(self, loop=self._loop, **self._kwargs)


class Visitor(RequestHandler):
    """One connection."""

    __slots__ = ("_leaving",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or turn it away when too many are in."""
        self._leaving: asyncio.TimerHandle | None = None
        door = cast("Door", self._manager)
        if len(door.connections) >= door.most_connections:
            body = _error("overloaded_error", f"More than {door.most_connections} connections are open.")
            head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            plain = cast("asyncio.Transport", transport)
            plain.write(f"{head}\r\nconnection: close\r\n\r\n".encode() + body)
            plain.close()
            self._manager = None  # connection_lost has nothing to undo
            self._force_close = True  # what it sends is not read
            return
        super().connection_made(transport)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for it; aiohttp has no use of it
        """Keep the connection for a moment: what is answered at once reaches a client that is still reading."""
        if self.transport is None:
            return False
        self._leaving = asyncio.get_running_loop().call_later(HALF_CLOSED_SECONDS, self._leave)
        return True

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, in the shape of both vendors: nobody can know which of them was meant."""
        if request.writer.output_size > 0:
            raise ConnectionError("the reply has begun already") from exc
        kind = "invalid_request_error" if status < 500 else "api_error"
        said = message or (f"The request could not be read: {exc}" if status < 500 else "The model double failed.")
        response = web.Response(status=status, body=_error(kind, said), headers={"content-type": "application/json"})
        response.force_close()
        return response


def _error(kind: str, message: str) -> bytes:
    error = {"type": kind, "message": message, "param": None, "code": None}
    return json.dumps({"type": "error", "error": error, "request_id": new_id("req_")}).encode("ascii")


def _open_files() -> int:
    """How many files this process may have open."""
    with contextlib.suppress(OSError, ValueError):
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return MOST_CONNECTIONS * 2 if soft == resource.RLIM_INFINITY else soft
    return MOST_CONNECTIONS
