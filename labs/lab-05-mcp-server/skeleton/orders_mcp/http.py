"""The HTTP side: who may come in at all, with which scope and how often."""

from __future__ import annotations

from orders_mcp.settings import Settings


def serve_http(settings: Settings) -> None:
    """Serves `/mcp`, `/health` and the resource metadata on 127.0.0.1 until SIGTERM.

    Start with `GET /health` and `server/discover`. The `mcp` SDK's servers give you a Starlette app
    (`streamable_http_app`), which uvicorn serves; whatever `python -m orders_mcp` starts is graded.
    """
    raise NotImplementedError("lab-05, tasks http and access: serve MCP over HTTP in orders_mcp/http.py")
