"""Serves MCP on the transport that MCP_TRANSPORT names."""

from __future__ import annotations

import logging
import sys

import anyio
import uvicorn

from orders_mcp.database import open_pool
from orders_mcp.http import create_app
from orders_mcp.server import build_server
from orders_mcp.settings import Settings


def main() -> None:
    # Standard output belongs to the protocol on stdio: whatever we have to say goes to standard error.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    if settings.transport == "stdio":
        anyio.run(serve_stdio, settings)
    else:
        uvicorn.run(
            create_app(settings),
            host="127.0.0.1",
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )


async def serve_stdio(settings: Settings) -> None:
    """One client on the standard streams; ends with the end of standard input."""
    pool = await open_pool(settings.database_url)
    try:
        server = build_server(settings, pool)
        await server.run_stdio_async()
    finally:
        await pool.close(timeout=1)


if __name__ == "__main__":
    main()
