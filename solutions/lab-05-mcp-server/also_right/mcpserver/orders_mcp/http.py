"""The HTTP side: who may come in at all, with which scope and how often; the protocol itself is the SDK's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orders_mcp import audit, rate
from orders_mcp.database import Pool, open_pool
from orders_mcp.principal import BOOK, READ, SCOPES, BadTokenError, Claims, find_user, read_token
from orders_mcp.server import build_server
from orders_mcp.settings import Settings

METADATA = "/.well-known/oauth-protected-resource/mcp"
BODY_LIMIT = 1024 * 1024
HEADER_MISMATCH = -32020
VERSION = "io.modelcontextprotocol/protocolVersion"


def create_app(settings: Settings) -> Starlette:
    """The whole application: health, metadata, and MCP behind the gate."""
    inner: dict[str, ASGIApp] = {}

    async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
        await inner["mcp"](scope, receive, send)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pool = await open_pool(settings.database_url)
        server = build_server(settings, pool)
        own = (f"127.0.0.1:{settings.port}", f"localhost:{settings.port}")
        app = server.streamable_http_app(
            # Not json_response: only the streaming path notices a client that hangs up, and cancels its call.
            stateless_http=True,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=list(own),
                allowed_origins=[f"http://{host}" for host in own],
            ),
        )
        inner["mcp"] = Gate(app, settings, pool)
        async with server.session_manager.run():
            yield
        await pool.close(timeout=1)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metadata(_: Request) -> Response:
        return JSONResponse(
            {
                "resource": settings.token_audience,
                "authorization_servers": [settings.token_issuer],
                "scopes_supported": list(SCOPES),
                "bearer_methods_supported": ["header"],
            }
        )

    routes = [Route("/health", health), Route(METADATA, metadata), Mount("/", mcp)]
    return Starlette(routes=routes, lifespan=lifespan)


@dataclass(frozen=True)
class Asked:
    """What a body asks for, as far as the gate has to know; what cannot be read the protocol behind it refuses.

    `version` is the protocol version in `_meta`; requests of older revisions carry none.
    """

    method: str
    tool: str
    request_id: object
    version: object

    @property
    def scope(self) -> str | None:
        """The scope that it needs, if any."""
        if self.method == "tools/call":
            return BOOK if self.tool == "orders_book_pickup" else READ
        return READ if self.method == "resources/read" else None


class Gate:
    """Looks at token, scope and rate before a request reaches the protocol.

    It goes by the body: headers are what the client says about it, and clients of older revisions send none.
    """

    def __init__(self, app: ASGIApp, settings: Settings, pool: Pool) -> None:
        self._app = app
        self._settings = settings
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        try:
            body = await _read_body(request)
        except ClientDisconnect:
            return
        refusal = Response(status_code=413) if body is None else await self._refusal(request, _asked(body))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _again(body or b"", receive), send)

    async def _refusal(self, request: Request, asked: Asked) -> Response | None:
        try:
            claims = read_token(self._settings, request.headers.get("authorization"))
        except BadTokenError:
            return self._unauthorised()
        async with self._pool.connection() as connection:
            if await find_user(connection, claims.user_id) is None:
                return self._unauthorised()
        request.scope["orders_user"] = claims.user_id
        if asked.version is not None and request.headers.get("mcp-protocol-version") != asked.version:
            # The SDK goes by the header alone, and would serve this request in an older revision.
            mismatch = "MCP-Protocol-Version says something else than _meta"
            return _error(400, mismatch, {}, HEADER_MISMATCH, asked.request_id)
        if asked.scope is not None and asked.scope not in claims.scopes:
            await self._audit_refusal(claims, asked)
            return self._forbidden(asked.scope)
        if asked.method == "tools/call":
            wait = await rate.seconds_to_wait(self._pool, claims.user_id, self._settings.rate_per_minute)
            if wait:
                await self._audit_refusal(claims, asked)
                return _error(429, "Too many calls", {"Retry-After": str(wait)})
        return None

    async def _audit_refusal(self, claims: Claims, asked: Asked) -> None:
        if asked.method == "tools/call":
            await audit.write(self._pool, claims.user_id, asked.tool, "refused", asked.request_id)

    def _unauthorised(self) -> Response:
        return _error(401, "Unauthorized", {"WWW-Authenticate": f'Bearer error="invalid_token", {self._where()}'})

    def _forbidden(self, scope: str) -> Response:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}", {self._where()}'
        return _error(403, "Insufficient scope", {"WWW-Authenticate": challenge})

    def _where(self) -> str:
        return f'resource_metadata="http://127.0.0.1:{self._settings.port}{METADATA}"'


async def _read_body(request: Request) -> bytes | None:
    """The body, or None as soon as it is longer than the limit."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more for those behind us, and then whatever comes: the client's hanging up."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return left.pop() if left else await receive()

    return replay


def _asked(body: bytes) -> Asked:
    try:
        message: Any = json.loads(body)
    except (ValueError, RecursionError):
        message = None
    message = message if isinstance(message, dict) else {}
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    meta = params.get("_meta")
    return Asked(
        method=str(message.get("method")),
        tool=str(params.get("name")),
        request_id=message.get("id"),
        version=meta.get(VERSION) if isinstance(meta, dict) else None,
    )


def _error(
    status: int, message: str, headers: dict[str, str], code: int = -32000, request_id: object = None
) -> Response:
    body = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return JSONResponse(body, status, headers)
