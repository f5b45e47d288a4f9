"""The connection pool, and the tables that the replicas share."""

from __future__ import annotations

from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


async def open_pool(url: str) -> Pool:
    """A pool of the connections that one process may have, and our tables in place."""
    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=AsyncConnection[DictRow],
        kwargs={"row_factory": dict_row},
        min_size=1,
        max_size=6,
        timeout=10,
        open=False,
    )
    await pool.open(wait=True)
    async with pool.connection() as connection:
        # Replicas start at the same time, and CREATE … IF NOT EXISTS is not safe against itself.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext('orders_mcp schema'))")
        await connection.execute((Path(__file__).parent / "schema.sql").read_bytes())
    return pool
