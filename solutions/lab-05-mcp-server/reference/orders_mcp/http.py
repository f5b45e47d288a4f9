"""The HTTP side: who may come in at all, with which scope and how often; the protocol itself is the SDK's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from orders_mcp import audit, rate
from orders_mcp.database import Pool, open_pool
from orders_mcp.principal import BOOK, READ, SCOPES, BadTokenError, Claims, find_user, read_token
from orders_mcp.server import build_server
from orders_mcp.settings import Settings

METADATA = "/.well-known/oauth-protected-resource/mcp"
BODY_LIMIT = 1024 * 1024


def create_app(settings: Settings) -> Starlette:
    """The whole application: health, metadata, and MCP behind the gate."""
    inner: dict[str, ASGIApp] = {}

    async def mcp(scope: Scope, receive: Receive, send: Send) -> None:
        await inner["mcp"](scope, receive, send)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        pool = await open_pool(settings.database_url)
        server = build_server(settings, pool)
        own = f"{settings.port}"
        app = server.streamable_http_app(
            # Not json_response: only the streaming path notices a client that hangs up, and cancels its call.
            stateless_http=True,
            max_request_body_size=BODY_LIMIT,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=[f"127.0.0.1:{own}", f"localhost:{own}"],
                allowed_origins=[f"http://127.0.0.1:{own}", f"http://localhost:{own}"],
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


class Gate:
    """Looks at token, scope and rate before a request reaches the protocol.

    Method and tool are read from the headers: the protocol behind us refuses requests whose body says something else.
    """

    def __init__(self, app: ASGIApp, settings: Settings, pool: Pool) -> None:
        self._app = app
        self._settings = settings
        self._pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method == "POST" and (refusal := await self._refusal(request)) is not None:
            await refusal(scope, receive, send)
            return
        if request.method != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        try:
            claims = read_token(self._settings, request.headers.get("authorization"))
        except BadTokenError:
            return self._unauthorised()
        async with self._pool.connection() as connection:
            if await find_user(connection, claims.user_id) is None:
                return self._unauthorised()
        request.scope["orders_user"] = claims.user_id
        method, name = request.headers.get("mcp-method"), request.headers.get("mcp-name", "")
        needed = BOOK if (method, name) == ("tools/call", "orders_book_pickup") else READ
        if method in ("tools/call", "resources/read") and needed not in claims.scopes:
            await self._audit_refusal(request, claims, method, name)
            return self._forbidden(needed)
        if method == "tools/call":
            wait = await rate.seconds_to_wait(self._pool, claims.user_id, self._settings.rate_per_minute)
            if wait:
                await self._audit_refusal(request, claims, method, name)
                return _error(429, "Too many calls", {"Retry-After": str(wait)})
        return None

    async def _audit_refusal(self, request: Request, claims: Claims, method: str, name: str) -> None:
        if method == "tools/call":
            await audit.write(self._pool, claims.user_id, name, "refused", await _request_id(request))

    def _unauthorised(self) -> Response:
        return _error(401, "Unauthorized", {"WWW-Authenticate": f'Bearer error="invalid_token", {self._where()}'})

    def _forbidden(self, scope: str) -> Response:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}", {self._where()}'
        return _error(403, "Insufficient scope", {"WWW-Authenticate": challenge})

    def _where(self) -> str:
        return f'resource_metadata="http://127.0.0.1:{self._settings.port}{METADATA}"'


async def _request_id(request: Request) -> Any:
    try:
        body = await request.json()
        return body["id"]
    except (ValueError, KeyError, TypeError):
        return ""


def _error(status: int, message: str, headers: dict[str, str]) -> Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": message}}
    return JSONResponse(body, status, headers)
