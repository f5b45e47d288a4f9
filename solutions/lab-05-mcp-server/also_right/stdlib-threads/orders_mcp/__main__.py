"""Starts the transport that MCP_TRANSPORT names."""

from __future__ import annotations

import os

from orders_mcp import line, web
from orders_mcp.rpc import Protocol
from orders_mcp.store import Store

if __name__ == "__main__":
    store = Store(os.environ["DATABASE_URL"])
    protocol = Protocol(store, float(os.environ.get("CONFIRMATION_SECONDS") or 600))
    if os.environ.get("MCP_TRANSPORT") == "stdio":
        line.serve(protocol, os.environ["MCP_USER"])
    else:
        web.serve(protocol)
