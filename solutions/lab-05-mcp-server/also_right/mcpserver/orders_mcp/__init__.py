"""Meridian's orders for other people's agents: an MCP server on stdio and streamable HTTP."""
