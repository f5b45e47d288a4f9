"""Drop what runs left behind; a run is alive as long as its lease holds an advisory lock."""

from __future__ import annotations

import re
from contextlib import suppress

import psycopg
from psycopg import sql

from grader.services.postgres.endpoint import Connection, Endpoint
from grader.services.postgres.template import KEPT, remove_database

LOCK = 7_770  # advisory locks (LOCK, run) of the database that leases log in to
_NAME = re.compile(r"lab_(?P<where>[0-9a-f]+)_(?P<run>[0-9a-f]{8})_\d+(_reader)?\Z")
_NAMES = """
SELECT 'database', datname::text FROM pg_database WHERE datname LIKE 'lab\\_%'
UNION ALL SELECT 'schema', nspname::text FROM pg_namespace WHERE nspname LIKE 'lab\\_%'
UNION ALL SELECT 'role', rolname::text FROM pg_roles WHERE rolname LIKE 'lab\\_%'
"""


def run_name(where: int, run: int, number: int) -> str:
    """Name of a run's database, role and schema. Locks are known in one database only, so its oid is in the name."""
    return f"lab_{where:x}_{run:08x}_{number}"


def collect(endpoint: Endpoint) -> int:
    """Drop the databases, schemas and roles of runs that ended; returns how many runs.

    Everything here is best effort: what cannot be dropped now is there for the next collection.
    """
    collected = 0
    with suppress(psycopg.Error), endpoint.connect("grader collect") as connection:
        for run, names in _ended(connection).items():
            row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK, run)).fetchone()
            if row != (True,):
                continue
            for kind, name in names:
                with suppress(psycopg.Error):
                    _drop(connection, kind, name)
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK, run))
            collected += 1
        _drop_old_templates(connection)
    return collected


def _ended(connection: Connection) -> dict[int, list[tuple[str, str]]]:
    """Names by run, in the order they can be dropped; whether a run has ended shows when its lock is tried."""
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    runs: dict[int, list[tuple[str, str]]] = {}
    for kind, name in connection.execute(_NAMES).fetchall():
        match = _NAME.match(name)
        if match and row and int(match["where"], 16) == row[0]:
            runs.setdefault(int(match["run"], 16), []).append((kind, name))
    return runs


def _drop(connection: Connection, kind: str, name: str) -> None:
    if kind == "database":
        remove_database(connection, name)
    elif kind == "schema":
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
    else:
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def _drop_old_templates(connection: Connection) -> None:
    statement = "SELECT datname::text FROM pg_database WHERE datname LIKE 'lab\\_tpl\\_%%' ORDER BY oid DESC OFFSET %s"
    for (name,) in connection.execute(statement, (KEPT,)).fetchall():
        with suppress(psycopg.Error):
            remove_database(connection, name)
