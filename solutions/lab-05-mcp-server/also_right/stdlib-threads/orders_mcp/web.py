"""HTTP with the standard library: every POST a thread, and another one that looks whether the client is still there."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

from orders_mcp.rpc import META, Protocol, RpcError, parse, read
from orders_mcp.store import Cancelled, Job

READ, BOOK = "orders:read", "orders:book"
METADATA = "/.well-known/oauth-protected-resource/mcp"
MOST = 1024 * 1024
PORT = int(os.environ.get("PORT") or 0)
OWN = (f"127.0.0.1:{PORT}", f"localhost:{PORT}")
RATE = int(os.environ.get("RATE_PER_MINUTE") or 600)


def serve(protocol: Protocol) -> None:
    class Handler(Conversation):
        rpc = protocol

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", PORT), Handler)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


class Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rpc: Protocol

    def log_message(self, *_: Any) -> None:
        """Requests are not logged: their headers hold tokens."""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._say(200, {"status": "ok"})
        elif self.path == METADATA:
            about = {"resource": os.environ["TOKEN_AUDIENCE"], "authorization_servers": [os.environ["TOKEN_ISSUER"]]}
            self._say(200, {**about, "scopes_supported": [READ, BOOK]})
        else:
            self._say(405 if self.path == "/mcp" else 404, {}, Allow="POST")

    def do_DELETE(self) -> None:
        self._say(405, {}, Allow="POST")

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if length > MOST:
            left = length
            while left > 0 and (part := self.rfile.read(min(left, 65536))):
                left -= len(part)
            return self._say(413, {})
        body = self.rfile.read(length)
        if self.headers.get("host") not in OWN or self.headers.get("origin", f"http://{OWN[0]}") not in (
            f"http://{each}" for each in OWN
        ):
            return self._say(403, {})
        claims = self._claims()
        if claims is None:
            where = f'resource_metadata="http://{OWN[0]}{METADATA}"'
            return self._say(401, {}, **{"WWW-Authenticate": f"Bearer {where}"})
        number: object = None
        try:
            message = parse(body)
            if isinstance(message, dict) and isinstance(message.get("id"), str | int):
                number = message["id"]
            if isinstance(message, dict) and "method" in message and "id" not in message:
                return self._say(202, None)
            self._compare(message)
            self._serve(read(message), claims)
        except RpcError as error:
            self._answer({"jsonrpc": "2.0", "id": number, "error": error.error})

    def _claims(self) -> dict[str, Any] | None:
        kind, _, token = (self.headers.get("authorization") or "").partition(" ")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                os.environ["TOKEN_KEY"],
                algorithms=["HS256"],
                audience=os.environ["TOKEN_AUDIENCE"],
                issuer=os.environ["TOKEN_ISSUER"],
                options={"require": ["exp", "aud", "iss", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return claims if kind == "Bearer" and self.rpc.store.user(str(claims["sub"])) else None

    def _compare(self, message: Any) -> None:
        """Headers that say something else than the body would fool whoever routes by them."""
        if not isinstance(message, dict):
            return
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        said = {"mcp-method": message.get("method")}
        if isinstance(meta, dict) and META + "protocolVersion" in meta:
            said["mcp-protocol-version"] = meta[META + "protocolVersion"]
        if message.get("method") in ("tools/call", "resources/read"):
            said["mcp-name"] = params.get("name" if message["method"] == "tools/call" else "uri")
        for header, value in said.items():
            if _decoded(self.headers.get(header)) != value:
                raise RpcError(-32020, f"{header} says something else than the body")

    def _serve(self, message: dict[str, Any], claims: dict[str, Any]) -> None:
        method, user_id, params = message["method"], str(claims["sub"]), message["params"]
        scopes = str(claims.get("scope") or "").split()
        calls = method == "tools/call"
        needed = BOOK if calls and params.get("name") == "orders_book_pickup" else READ
        if (calls or method == "resources/read") and needed not in scopes:
            self._refused(message, user_id)
            challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
            return self._say(403, {}, **{"WWW-Authenticate": challenge})
        if calls and (wait := self.rpc.store.wait(user_id, RATE)):
            self._refused(message, user_id)
            return self._say(429, {}, **{"Retry-After": str(wait)})
        job = Job(user_id)
        done = threading.Event()
        threading.Thread(target=_watch, args=(self.connection, job, done), daemon=True).start()
        try:
            self._answer(self.rpc.answer(message, job))
        except (Cancelled, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            done.set()

    def _refused(self, message: dict[str, Any], user_id: str) -> None:
        if message["method"] == "tools/call":
            self.rpc.store.audit(user_id, str(message["params"].get("name")), "refused", message["id"])

    def _answer(self, answer: dict[str, Any]) -> None:
        code = answer.get("error", {}).get("code")
        self._say(200 if code is None else 404 if code == -32601 else 400, answer)

    def _say(self, status: int, body: Any, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _watch(connection: socket.socket, job: Job, done: threading.Event) -> None:
    """Cancel the job when the other side closes; a byte of a next request means that it is still there."""
    while not done.wait(0.05):
        try:
            if select.select([connection], [], [], 0)[0]:
                if connection.recv(1, socket.MSG_PEEK) == b"":
                    job.cancel()
                return
        except OSError:
            return job.cancel()


def _decoded(value: str | None) -> str | None:
    if value is None or not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except ValueError:
        return None
