"""A leased server: checked once, held by an open session, giving out databases."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from grader.errors import EnvironmentFault
from grader.services.postgres import faults, leftovers
from grader.services.postgres.database import Database, Login
from grader.services.postgres.endpoint import Connection, Endpoint, Source
from grader.services.postgres.faults import DatabaseLimitError
from grader.services.postgres.find import find
from grader.services.postgres.template import EMPTY, Template, Templates, join_role, owner_name
from grader.services.postgres.watchdog import DATABASE_BYTES, Watchdog

Mode = Literal["template", "schema"]
OLDEST_POSTGRES = 150000
OLDEST_PGVECTOR = (0, 8, 2)  # before it, a parallel HNSW build can overflow a buffer (CVE-2026-3172)
CONNECTIONS = 25
ROLE_SETTINGS = {"statement_timeout": "15s", "idle_in_transaction_session_timeout": "15s"}
LEAST_ROOM = 32 * 1024**2  # bytes: below two segments of its log PostgreSQL writes nothing reliably
SUPERUSER_SETTINGS = {"temp_file_limit": "64MB"}  # only a superuser may limit it


class Server:
    """A server that stays up for as long as this object's session is open.

    Attributes:
        source: how it was found.
        version: PostgreSQL's version, such as "18.4".
        pgvector: version of the extension.
        mode: "template" gives every check its own database and role; "schema" only a schema, where the role of
            DATABASE_URL may make no database: programs then share a role with each other and with the grader.
    """

    def __init__(self, endpoint: Endpoint, connection: Connection) -> None:
        self._endpoint = endpoint
        self._connection = connection
        self._numbers = itertools.count(1)
        self._run = secrets.randbelow(2**31 - 1) + 1
        with faults.translated("looking at the server"):
            self.pgvector = preflight(connection)
            self.version = connection.info.parameter_status("server_version") or ""
            self._templates = Templates(endpoint, connection.info.server_version, self.pgvector, owner_name(connection))
            self._superuser, may_create = _rights(connection)
            possible = self._superuser or (may_create and self._can_make_templates())
            self.mode: Mode = "template" if possible else "schema"
            if self.mode == "schema":
                _require_extension(connection)
            row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
            self._where = int(row[0]) if row else 0
            self._data = self._data_folder()
            connection.execute("SELECT pg_advisory_lock(%s, %s)", (leftovers.LOCK, self._run))
            # Where programs log in as we do, nothing tells their sessions from those of others.
            self._watchdog = Watchdog(endpoint) if self.mode == "template" else None

    @property
    def source(self) -> Source:
        return self._endpoint.source

    def _data_folder(self) -> Path | None:
        """Where an embedded server keeps its files: the only one whose disk is surely ours to look at."""
        if self.source not in ("embedded", "running"):
            return None
        row = self._connection.execute("SHOW data_directory").fetchone()
        return Path(row[0]).parent if row else None

    def lost(self) -> EnvironmentFault | None:
        """Why the server no longer serves, or None: whoever depends on it must not be blamed for that."""
        try:
            with faults.translated("a check ran"):
                self._connection.execute("SELECT 1")
                # A killed server's last sessions may still answer; nobody new gets in.
                self._endpoint.connect("grader look").close()
        except EnvironmentFault as fault:
            return self._without_room() or fault
        return self._without_room()

    def _without_room(self) -> EnvironmentFault | None:
        with suppress(OSError):
            if self._data and (free := shutil.disk_usage(self._data).free) < LEAST_ROOM:
                return faults.disk_full(str(self._data), f"the database has {free / 2**20:.0f} MB left")
        return None

    def _can_make_templates(self) -> bool:
        """Only trying tells: managed servers let some roles create the extension that plain ones do not."""
        try:
            self._templates.ensure(EMPTY)
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def create(
        self,
        template: Template = EMPTY,
        settings: Mapping[str, str] | None = None,
        *,
        most_bytes: int = DATABASE_BYTES,
    ) -> Database:
        """A new database (or schema) and its role, holding what the template says.

        Args:
            settings: what sessions of the role start with; without effect in schema mode, where the role is shared.
            most_bytes: a database that grows larger is shut, see `over_limit`; without effect in schema mode.

        Raises:
            EnvironmentFault: the server is gone or full (database-lost, disk-full).
            GraderFault: the template's SQL does not run (template-broken).
        """
        name = leftovers.run_name(self._where, self._run, next(self._numbers))
        with faults.translated("making a database"):
            if self.mode == "schema":
                return self._create_schema(name, template)
            database = self._create_database(name, template, settings or {})
        if self._watchdog:
            self._watchdog.watch(name, most_bytes)
        return database

    def _create_database(self, name: str, template: Template, settings: Mapping[str, str]) -> Database:
        role, reader = Login(name, secrets.token_urlsafe(18)), Login(f"{name}_reader", secrets.token_urlsafe(18))
        self._create_role(role, CONNECTIONS)
        self._create_role(reader, 5)
        self._alter_role(name, settings)
        self._connection.execute(_format("GRANT {} TO {}", name, reader.role))
        join_role(self._connection, name)
        self.clone_for(name, name, template)
        url = self._endpoint.learner_url(role.role, role.password, name)
        return Database(name, url, name, "public", self._endpoint, reader, self._session)

    def _create_role(self, login: Login, connections: int) -> None:
        """The server gets a verifier, so that the password is in nobody's log."""
        encrypted = self._connection.pgconn.encrypt_password(
            login.password.encode(), login.role.encode(), b"scram-sha-256"
        )
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
            sql.Identifier(login.role), sql.Literal(encrypted.decode()), sql.Literal(connections)
        )
        self._connection.execute(statement)

    def _alter_role(self, name: str, settings: Mapping[str, str]) -> None:
        own = {**ROLE_SETTINGS, **(SUPERUSER_SETTINGS if self._superuser else {})}
        for setting, value in {**settings, **own}.items():
            statement = sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
            )
            self._connection.execute(statement)

    def clone_for(self, role: str, name: str, template: Template) -> None:
        """Clone a template and hand what is in it to a role, which does not become the database's owner.

        An owner could make settings of the database that every session in it meets, ours included.
        """
        try:
            self._clone(name, self._templates.ensure(template))
        except psycopg.errors.InvalidCatalogName:  # somebody dropped the template that we knew
            self._templates.forget(template)
            self._clone(name, self._templates.ensure(template))
        with self._endpoint.connect("grader hand-over", database=name) as inside:
            inside.execute(_format("REASSIGN OWNED BY {} TO {}", self._templates.owner, role))
        self._connection.execute(_format("REVOKE ALL ON DATABASE {} FROM PUBLIC", name))
        self._connection.execute(_format("GRANT ALL ON DATABASE {} TO {}", name, role))

    def _clone(self, name: str, source: str) -> None:
        self._connection.execute(_format("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, source))

    def _create_schema(self, name: str, template: Template) -> Database:
        """The weaker way: one schema, the role of DATABASE_URL itself."""
        self._connection.execute(_format("CREATE SCHEMA {}", name))
        if template.sql.strip():
            home = _vector_schema(self._connection)
            with self._endpoint.connect("grader template", settings={"statement_timeout": "0"}) as inside:
                inside.execute(_format("SET search_path = {}, {}", name, home))
                inside.execute(template.sql.encode())
        login = self._endpoint.login
        database = self._connection.info.dbname
        path = f"{name},{_vector_schema(self._connection)}"
        url = self._endpoint.learner_url(login.get("user", ""), login.get("password", ""), database, search_path=path)
        return Database(database, url, self._connection.info.user, name, self._endpoint, None, self._session)

    def _session(self) -> Connection:
        return self._connection

    def over_limit(self) -> DatabaseLimitError | None:
        """The database of this run that has outgrown its limit, if one has since this was asked last."""
        return self._watchdog.over_limit() if self._watchdog else None

    @property
    def ended(self) -> Sequence[str]:
        """What the watchdog has put an end to, as lines for the report: statements, connections."""
        return tuple(self._watchdog.ended) if self._watchdog else ()

    def close(self) -> None:
        """End the lease and drop what the run made, in a thread that the process waits for at its end."""
        if self._watchdog:
            self._watchdog.close()
        with suppress(psycopg.Error):
            self._connection.close()
        if sys.is_finalizing():  # no thread starts any more, and waiting for one would never end
            return
        threading.Thread(target=leftovers.collect, args=(self._endpoint,), name="grader collect").start()


def preflight(connection: Connection) -> str:
    """The version of pgvector, on a server that is new enough.

    Raises:
        EnvironmentFault: postgres-too-old, pgvector-missing, pgvector-too-old.
    """
    if connection.info.server_version < OLDEST_POSTGRES:
        version = connection.info.parameter_status("server_version")
        raise EnvironmentFault(
            f"The server is PostgreSQL {version}; labs need 15 or newer.",
            mend=f"Point DATABASE_URL at a newer server, or unset it, or run `{faults.COMPOSE_UP}`.",
            slug="postgres-too-old",
        )
    row = connection.execute(
        "SELECT COALESCE((SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'))"
    ).fetchone()
    if row is None or row[0] is None:
        raise EnvironmentFault(
            "The server has no pgvector.",
            mend=f"Install it there, or unset DATABASE_URL, or run `{faults.COMPOSE_UP}`.",
            slug="pgvector-missing",
        )
    pgvector = str(row[0])
    if _numbers(pgvector) < OLDEST_PGVECTOR:
        oldest = ".".join(map(str, OLDEST_PGVECTOR))
        raise EnvironmentFault(
            f"The server has pgvector {pgvector}; labs need {oldest} or newer.",
            mend=f"Update it (`ALTER EXTENSION vector UPDATE`), or unset DATABASE_URL, or run `{faults.COMPOSE_UP}`.",
            slug="pgvector-too-old",
        )
    return pgvector


def _require_extension(connection: Connection) -> None:
    """A schema shares its database's extension, which somebody with the right to must have made."""
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentFault(
            "The database in DATABASE_URL has no pgvector, and its role may not create it.",
            mend=f"Have an administrator run `CREATE EXTENSION vector` there, or run `{faults.COMPOSE_UP}`.",
            slug="pgvector-missing",
        ) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _rights(connection: Connection) -> tuple[bool, bool]:
    """Whether we are superuser, and whether we may make databases and roles."""
    row = connection.execute(
        "SELECT rolsuper, rolcreatedb AND rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    return (bool(row[0]), bool(row[0] or row[1])) if row else (False, False)


def _vector_schema(connection: Connection) -> str:
    row = connection.execute(
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'vector'"
    ).fetchone()
    return row[0] if row else "public"


def _format(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))


@contextmanager
def lease(purpose: str = "lease") -> Iterator[Server]:
    """Find or start a server and hold it for the block.

    Raises:
        EnvironmentFault: there is none and none can be started (no-database, disk-full, ...).
    """
    found = find(f"grader lease: {purpose} (process {os.getpid()})")
    assert found is not None
    endpoint, connection = found
    try:
        server = Server(endpoint, connection)
    except BaseException:
        connection.close()
        raise
    threading.Thread(target=leftovers.collect, args=(endpoint,), name="grader collect", daemon=True).start()
    try:
        yield server
    finally:
        server.close()
