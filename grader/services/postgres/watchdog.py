"""Keeps a program from taking more of the database server than its share: time, connections, disk."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psycopg
from psycopg import sql

from grader.services.postgres import faults
from grader.services.postgres.endpoint import Connection, Endpoint

TICK_SECONDS = 0.5
# A role starts with a `statement_timeout` of 15 seconds, but may lift it; nobody may lift this.
STATEMENT_SECONDS = 20.0
LOGIN_SECONDS = 3.0  # a connection that has not said who it is holds a place that others need
DATABASE_BYTES = 2**30
NOTIFICATIONS = 0.01  # of the server's queue of 8 GB, which a listener that never listens lets grow

_OVERDUE = """
SELECT pid, state, left(query, 200), extract(epoch FROM clock_timestamp() - state_change)::float
FROM pg_stat_activity
WHERE usename = ANY (%(roles)s) AND backend_type = 'client backend'
  AND (state = 'active' OR state LIKE 'idle in transaction%%')
  AND state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
"""
_STRANGERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename IS NULL AND backend_type = 'client backend' AND client_addr IS NOT NULL
  AND backend_start < clock_timestamp() - make_interval(secs => %s)
"""
_SIZES = "SELECT datname::text, pg_database_size(oid) FROM pg_database WHERE datname = ANY (%s)"


class Watchdog:
    """Looks after the databases of one run from a thread and a session of its own.

    Attributes:
        ended: what it has put an end to, as lines for the report.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        statement_seconds: float = STATEMENT_SECONDS,
        login_seconds: float = LOGIN_SECONDS,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self.ended: list[str] = []
        self._statement_seconds = statement_seconds
        self._login_seconds = login_seconds
        self._tick_seconds = tick_seconds
        self._watched: dict[str, int] = {}  # replaced, never changed: the thread reads it meanwhile
        self._over: faults.DatabaseLimitError | None = None
        self._stop = threading.Event()
        # Connected before any program runs: a flood of connections must not keep it out.
        self._connection = endpoint.connect("grader watchdog", settings={"statement_timeout": "5s"})
        self._thread = threading.Thread(target=self._watch, name="database watchdog", daemon=True)
        self._thread.start()

    def watch(self, name: str, most_bytes: int = DATABASE_BYTES) -> None:
        """Look after a database, which may grow to `most_bytes`, and the role of the same name from now on."""
        self._watched = {**self._watched, name: most_bytes}

    def forget(self, name: str) -> None:
        """It is given up."""
        self._watched = {other: most for other, most in self._watched.items() if other != name}

    def over_limit(self) -> faults.DatabaseLimitError | None:
        """The database that outgrew its limit, if one did since this was asked last; looks once more before it says."""
        with suppress(psycopg.Error):
            self._measure(self._connection, self._watched)
        over, self._over = self._over, None
        return over

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._tick_seconds):
            watched = self._watched
            roles = list(watched)
            try:
                self._end_overdue(self._connection, roles)
                self._measure(self._connection, watched)
                self._end_deaf_listeners(self._connection, roles)
                with suppress(psycopg.errors.InsufficientPrivilege):  # only a superuser may end strangers
                    self._end_strangers(self._connection)
            except psycopg.OperationalError:
                if self._connection.closed:  # the server went away: whoever uses it next will say so
                    return
            except psycopg.Error:
                continue  # a database was dropped while we looked: look again

    def _end_overdue(self, connection: Connection, roles: Sequence[str]) -> None:
        if not roles:
            return
        overdue = {"roles": roles, "seconds": self._statement_seconds}
        for pid, state, query, seconds in connection.execute(_OVERDUE, overdue).fetchall():
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            what = "statement that ran" if state == "active" else "transaction that was left open"
            self.ended.append(f"the grader ended a {what} for {seconds:.0f} seconds: {query}")

    def _end_deaf_listeners(self, connection: Connection, roles: Sequence[str]) -> None:
        row = connection.execute("SELECT pg_notification_queue_usage()").fetchone()
        if row and row[0] > NOTIFICATIONS:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY (%s)", (roles,)
            )
            self.ended.append("the grader ended all sessions of the program: its notifications were never listened to")

    def _end_strangers(self, connection: Connection) -> None:
        row = connection.execute(_STRANGERS, (self._login_seconds,)).fetchone()
        if row and row[0]:
            self.ended.append(f"the grader ended {row[0]} connections to the database that did not log in")

    def _measure(self, connection: Connection, watched: Mapping[str, int]) -> None:
        if not watched:
            return
        for name, size in connection.execute(_SIZES, (list(watched),)).fetchall():
            if size > watched[name]:
                self.forget(name)
                self._over = faults.database_limit(size, watched[name])
                # It may not come back; what it has kept stays readable for the grader.
                connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(sql.Identifier(name)))
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
