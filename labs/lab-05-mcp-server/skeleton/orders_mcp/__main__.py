"""Serves MCP on the transport that MCP_TRANSPORT names."""

from __future__ import annotations

import logging
import sys

from orders_mcp.http import serve_http
from orders_mcp.settings import Settings
from orders_mcp.stdio import serve_stdio


def main() -> None:
    # Standard output belongs to the protocol on stdio: whatever we have to say goes to standard error.
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    if settings.transport == "stdio":
        serve_stdio(settings)
    else:
        serve_http(settings)


if __name__ == "__main__":
    main()
