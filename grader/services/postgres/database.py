"""One learner's database: the address for the program, and the grader's careful look inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from grader.errors import EnvironmentFault
from grader.services.postgres import faults
from grader.services.postgres.endpoint import Connection, Endpoint

# What a read runs under. Reads use a role with exactly the learner's rights: a table that was replaced by a view
# runs the learner's own functions, and they can do no more than the learner's program could.
READ_SETTINGS: Mapping[str, str] = {
    "default_transaction_read_only": "on",
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "row_security": "off",  # a policy that would hide rows is an error, never a silent gap
}
_KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "I": "partitioned index",
}
_RELATIONS = """
SELECT n.nspname, c.relname, c.relkind::text, COALESCE(m.amname, ''),
       COALESCE((SELECT array_agg(ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] ORDER BY a.attnum)
                 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '{}')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_am m ON m.oid = c.relam
WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
  AND (%(schema)s::text IS NULL OR n.nspname = %(schema)s)
  AND c.relkind = ANY (%(kinds)s)
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Column:
    """A column of a relation, with its type as PostgreSQL writes it, such as `vector(256)`."""

    name: str
    type: str


@dataclass(frozen=True)
class Relation:
    """A table, view, index or sequence that the learner made or was given.

    Attributes:
        kind: "table", "view", "index", ...
        method: access method, such as "heap", "btree", "hnsw"; "" where there is none.
    """

    schema: str
    name: str
    kind: str
    columns: tuple[Column, ...]
    method: str


@dataclass(frozen=True)
class Login:
    """A role and its password."""

    role: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Locked:
    """Tables that are locked; says who waits for them."""

    _database: Database

    def waited_for(self, sessions: int = 1, *, seconds: float = 5.0) -> bool:
        """Whether so many sessions of the program wait for a lock at one moment within `seconds`."""
        return self._until(lambda: self._database.waiting() >= sessions, seconds)

    def given_up(self, *, seconds: float, left: int = 0) -> bool:
        """Whether no more than `left` sessions of the program wait any more, within `seconds`."""
        return self._until(lambda: self._database.waiting() <= left, seconds)

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)  # the server announces no waits
        return True


@dataclass(frozen=True)
class Database:
    """A database of one learner's program.

    Attributes:
        name: the database.
        url: what the program is given.
        role: what the program logs in as.
        schema: where its tables are made: "public", or its own schema on a server that gives us no database.
    """

    name: str
    url: str = field(repr=False)
    role: str
    schema: str
    _endpoint: Endpoint = field(repr=False)
    _reader: Login | None = field(repr=False)
    _lease: Callable[[], Connection] = field(repr=False)

    def rows(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] = (),
        *,
        settings: Mapping[str, str] | None = None,
        limit: int = 50_000,
    ) -> list[dict[str, Any]]:
        """Read with the learner's rights, in a read-only transaction that finds names in pg_catalog only.

        Args:
            query: names every table with its schema: `SELECT id FROM public.chunks`; pgvector's operators are
                written `OPERATOR(public.<=>)`. EXPLAIN works.
            params: values for %s or %(name)s.
            settings: settings of the session, such as `{"app.tenant": "acme", "row_security": "on"}`.
            limit: more rows than this are refused.

        Raises:
            QueryRefusedError: the learner's database does not answer it.
            EnvironmentFault: the server is gone (database-lost).
        """
        try:
            with self._read(settings or {}) as connection, connection.cursor(row_factory=dict_row) as cursor:
                rows = []
                for row in cursor.stream(query.encode(), params or None):
                    rows.append(row)
                    if len(rows) > limit:
                        raise faults.QueryRefusedError(f"The query gives more than {limit} rows: {query.strip()!r}.")
                return rows
        except psycopg.Error as error:
            raise self._refused(error, query) from error

    def _read(self, settings: Mapping[str, str]) -> Connection:
        user, password = (self._reader.role, self._reader.password) if self._reader else (None, None)
        connection = self._endpoint.connect(
            "grader read", database=self.name, user=user, password=password, settings=READ_SETTINGS
        )
        for key, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (key, value))
        connection.autocommit = False
        connection.read_only = True
        return connection

    def _refused(self, error: psycopg.Error, query: str) -> Exception:
        """A read that failed on a server that lives is the learner's affair; on a dead one it is the machine's."""
        try:
            self._lease().execute("SELECT 1")  # the error itself proves nothing: a function can raise every code
        except psycopg.Error:
            return faults.database_lost(f"reading {query.strip()!r}", error)
        what = f"The database did not answer {query.strip()!r}: {faults.first_line(error)}."
        return faults.QueryRefusedError(what, sqlstate=error.sqlstate or "")

    def change(self, statement: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Write with the learner's rights, as another service of the company would; returns how many rows it was.

        Names are found in pg_catalog only, as in `rows`; triggers that the learner made run with the learner's rights.

        Raises:
            QueryRefusedError: the learner's database does not take it.
            EnvironmentFault: the server is gone (database-lost).
        """
        try:
            with self._write() as connection:
                return connection.execute(statement.encode(), params or None).rowcount
        except psycopg.Error as error:
            raise self._refused(error, statement) from error

    @contextmanager
    def locked(self, *tables: str, readable: bool = False) -> Iterator[Locked]:
        """Keep everybody else from these tables while the block runs.

        Args:
            tables: with their schema, as in `public.shipments`.
            readable: others may read them, and only their writes wait; without it, reads wait too.

        Raises:
            QueryRefusedError: a table is not there, or stays in use for 2 seconds.
        """
        statement = f"LOCK TABLE {', '.join(tables)} IN {'SHARE' if readable else 'ACCESS EXCLUSIVE'} MODE"
        with self._write() as connection:
            try:
                connection.execute("SET idle_in_transaction_session_timeout = 0")
                connection.execute(statement.encode())
            except psycopg.Error as error:
                raise self._refused(error, statement) from error
            try:
                yield Locked(self)
            finally:
                connection.rollback()

    def waiting(self) -> int:
        """How many sessions of the program wait for a lock now."""
        statement = (
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND datname = %s AND wait_event_type = 'Lock'"
            " AND application_name NOT LIKE 'grader %%'"
        )
        with faults.translated("looking at sessions"):
            row = self._lease().execute(statement, (self.role, self.name)).fetchone()
        return int(row[0]) if row else 0

    def _write(self) -> Connection:
        user, password = (self._reader.role, self._reader.password) if self._reader else (None, None)
        settings = {**READ_SETTINGS, "default_transaction_read_only": "off"}
        connection = self._endpoint.connect(
            "grader write", database=self.name, user=user, password=password, settings=settings
        )
        connection.autocommit = False
        return connection

    def relations(self) -> list[Relation]:
        """What is in the database, from the catalogues alone: no code of the learner runs."""
        only = None if self.schema == "public" else self.schema
        try:
            with self._read({}) as connection:
                rows = connection.execute(_RELATIONS, {"schema": only, "kinds": list(_KINDS)}).fetchall()
        except psycopg.Error as error:
            raise self._refused(error, "the catalogue") from error
        return [
            Relation(
                schema, name, _KINDS[kind], tuple(Column(c, t.removeprefix("public.")) for c, t in columns), method
            )
            for schema, name, kind, method, columns in rows
        ]

    def size_bytes(self) -> int:
        """What it takes on the server's disk."""
        statement = "SELECT pg_database_size(%s)"
        key = self.name
        if self.schema != "public":
            statement = (
                "SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind IN ('r', 'm', 'S')"
            )
            key = self.schema
        with faults.translated("measuring a database"):
            row = self._lease().execute(statement, (key,)).fetchone()
        return int(row[0]) if row else 0

    def terminate_sessions(self) -> int:
        """End every session of the program, as a restart of the server would; returns how many there were."""
        statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s AND datname = %s"
        if self._reader is None:  # the program logs in as we do: only the names of sessions tell them apart
            statement += " AND application_name NOT LIKE 'grader %%'"
        with faults.translated("ending sessions"):
            row = self._lease().execute(statement, (self.role, self.name)).fetchone()
        return int(row[0]) if row else 0

    def drop(self) -> None:
        """Give it up: its sessions end now; what it holds is dropped after the lease, beside the next work."""
        with suppress(EnvironmentFault):  # a server that is gone has no sessions
            self.terminate_sessions()
