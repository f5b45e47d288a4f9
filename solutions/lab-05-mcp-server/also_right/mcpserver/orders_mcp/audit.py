"""Writes down who called which tool and what became of it; never with what, never the result."""

from __future__ import annotations

from orders_mcp.database import Pool


async def write(pool: Pool, user_id: str, tool: str, outcome: str, request_id: object) -> None:
    """One row; it is committed when this returns, and so before the answer is sent."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO audit_log (user_id, tool, outcome, request_id) VALUES (%s, %s, %s, %s)",
            [user_id, tool.replace("\0", "")[:200], outcome, str(request_id).replace("\0", "")[:200]],
        )
