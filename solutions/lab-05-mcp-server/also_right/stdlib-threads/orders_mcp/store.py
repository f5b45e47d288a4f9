"""Connections, and jobs whose statement another thread can cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool


class Cancelled(Exception):
    """Nobody wants the answer any more."""


class Job:
    """One request: its user, and a way to stop it."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.cancelled = False
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            if self._connection is not None:
                self._connection.cancel_safe(timeout=2)

    def hold(self, connection: psycopg.Connection[Any] | None) -> None:
        with self._lock:
            self._connection = connection
        if connection is not None and self.cancelled:
            raise Cancelled


class Store:
    """The pool, and the tables of our own."""

    def __init__(self, url: str) -> None:
        self.pool = ConnectionPool(
            url,
            min_size=1,
            max_size=5,
            timeout=10,
            check=ConnectionPool.check_connection,
            kwargs={"row_factory": dict_row},
            open=True,
        )
        schema = (Path(__file__).parent / "tables.sql").read_text("utf-8")
        with self.pool.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(5050)")
            connection.execute(schema.encode())

    @contextmanager
    def work(self, job: Job) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        """A transaction that ends when the job is cancelled."""
        try:
            with self.pool.connection() as connection:
                job.hold(connection)
                try:
                    yield connection
                finally:
                    job.hold(None)
        except psycopg.errors.QueryCanceled as error:
            raise Cancelled from error

    def user(self, user_id: str) -> dict[str, Any] | None:
        if "\0" in user_id:
            return None
        with self.pool.connection() as connection:
            return connection.execute("SELECT * FROM users WHERE user_id = %s", [user_id]).fetchone()

    def audit(self, user_id: str, tool: str, outcome: str, number: object) -> None:
        with self.pool.connection() as connection:
            connection.execute(
                "INSERT INTO audit_log VALUES (clock_timestamp(), %s, %s, %s, %s)",
                [user_id, tool.replace("\0", "?"), outcome, str(number).replace("\0", "?")],
            )

    def wait(self, user_id: str, most: int) -> int:
        """0, or the seconds until this user may call again: one upsert, whose row is the lock."""
        with self.pool.connection() as connection:
            row = connection.execute(
                """
                INSERT INTO recent_calls AS r VALUES (%(user)s, ARRAY[clock_timestamp()], true)
                ON CONFLICT (user_id) DO UPDATE SET (calls, allowed) = (
                    SELECT CASE WHEN count(t) < %(most)s THEN array_agg(t ORDER BY t) || clock_timestamp()
                                ELSE array_agg(t ORDER BY t) END, count(t) < %(most)s
                    FROM unnest(r.calls) AS t WHERE t > clock_timestamp() - interval '60 seconds')
                RETURNING allowed, ceil(extract(epoch FROM calls[1] + interval '60 s' - clock_timestamp()))::int AS wait
                """,
                {"user": user_id, "most": most},
            ).fetchone()
        assert row is not None
        return 0 if row["allowed"] else min(60, max(1, row["wait"] or 1))
