"""Connections to PostgreSQL, and the tables of the assistant itself."""

from __future__ import annotations

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

Connection = AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]


async def open_pool(url: str) -> Pool:
    """A pool of fewer connections than the 20 that there are, and our tables in place."""
    raise NotImplementedError("lab-06, task loop: open the pool and run schema.sql")
