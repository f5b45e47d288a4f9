# Wrong: commits row by row behind a lock in the process, instead of in a transaction.
"""Connections to PostgreSQL, and the schema they expect."""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any

from pgvector.psycopg import register_vector
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

Pool = ConnectionPool[Connection[TupleRow]]

GATE = threading.RLock()  # the database would do this for several processes
_SCHEMA_LOCK = 7_001  # two instances that start at once would race to create the same tables


def open_pool(url: str, *, size: int) -> Pool:
    """Opens the pool with the schema in place."""
    with Connection.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])
        connection.execute(files("rag_service").joinpath("schema.sql").read_text(encoding="utf-8"))
    return ConnectionPool(url, min_size=1, max_size=size, configure=_configure, open=True)


def _configure(connection: Connection[Any]) -> None:
    register_vector(connection)
    connection.commit()  # reading the type's oid opened a transaction; the pool wants the connection idle
