"""Template databases: what a lab starts with, built once and cloned for every check."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from grader.errors import GraderFault
from grader.services.postgres import faults
from grader.services.postgres.endpoint import Connection, Endpoint

LAYOUT = "1"  # raise it when the way a template is built changes
KEPT = 60  # templates of edited labs pile up; the oldest beyond this number are dropped
LOCK = 7_771


@dataclass(frozen=True)
class Template:
    """What a database holds at the start.

    Attributes:
        sql: statements run once as the owner, in a database that has the extension vector.
    """

    sql: str


EMPTY = Template("")


def template_name(template: Template, version: int, pgvector: str, owner: str = "lab_owner") -> str:
    """The database that holds it: the same text on the same versions is the same database."""
    key = "\0".join((LAYOUT, template.sql, str(version), pgvector, owner))
    return f"lab_tpl_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


class Templates:
    """The templates of one server; safe to use from several processes at once.

    Attributes:
        owner: role that owns what a template holds, until a clone hands it to the learner's role.
    """

    def __init__(self, endpoint: Endpoint, version: int, pgvector: str, owner: str) -> None:
        self.owner = owner
        self._endpoint = endpoint
        self._version = version
        self._pgvector = pgvector
        self._known: set[str] = set()

    def name(self, template: Template) -> str:
        return template_name(template, self._version, self._pgvector, self.owner)

    def forget(self, template: Template) -> None:
        """Look again before the next use: somebody dropped it."""
        self._known.discard(self.name(template))

    def ensure(self, template: Template) -> str:
        """The name of the template's database, built now if it is not there."""
        name = self.name(template)
        if name not in self._known:
            with self._endpoint.connect(
                "grader template", settings={"statement_timeout": "0", "lock_timeout": "0"}
            ) as c:
                lock = int(name[-7:], 16)
                c.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK, lock))  # ends with the session
                if not exists(c, name):
                    self._build(c, template, name)
            self._known.add(name)
        return name

    def _build(self, connection: Connection, template: Template, name: str) -> None:
        """Build beside the final name and rename: a builder that dies leaves nothing that looks finished."""
        draft = f"lab_tmp_{name.removeprefix('lab_tpl_')}"
        remove_database(connection, draft)
        _ensure_role(connection, self.owner)
        locale = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'" if self._version >= 170000 else "LOCALE 'C'"
        create = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' " + locale + " STRATEGY FILE_COPY"
        connection.execute(sql.SQL(create).format(sql.Identifier(draft)))
        try:
            with self._endpoint.connect(
                "grader template", database=draft, settings={"statement_timeout": "0"}
            ) as inside:
                self._fill(inside, template)
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(draft)))
            alter = "ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"
            connection.execute(sql.SQL(alter).format(sql.Identifier(draft)))
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name))
            with suppress(psycopg.errors.DuplicateDatabase):  # another home on this server was faster
                connection.execute(rename)
        finally:
            remove_database(connection, draft)

    def _fill(self, connection: Connection, template: Template) -> None:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        connection.execute(f"ALTER SCHEMA public OWNER TO {self.owner}".encode())
        if template.sql.strip():
            connection.execute(f"SET ROLE {self.owner}".encode())
            connection.execute("SET search_path = public")
            try:
                connection.execute(template.sql.encode())
            except (psycopg.ProgrammingError, psycopg.DataError, psycopg.IntegrityError) as error:
                raise GraderFault(
                    f"The lab's template database cannot be built: {faults.first_line(error)}.",
                    mend="Please report it: the SQL of this lab does not run on this server.",
                    slug="template-broken",
                ) from error
            connection.execute("RESET ROLE; RESET search_path")
        connection.execute("ANALYZE")  # clones keep the statistics, and autovacuum is off


def owner_name(connection: Connection) -> str:
    """Administrators that are no superusers cannot share an owner: each may act only for roles it made."""
    row = connection.execute("SELECT rolsuper, oid FROM pg_roles WHERE rolname = current_user").fetchone()
    return "lab_owner" if row is None or row[0] else f"lab_owner_{row[1]:x}"


def _ensure_role(connection: Connection, role: str) -> None:
    """The role that owns templates; nobody logs in as it."""
    with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    join_role(connection, role)


def join_role(connection: Connection, role: str) -> None:
    """Let an administrator that is no superuser act for a role it made."""
    row = connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is None or row[1]:
        return
    options = "WITH SET TRUE, INHERIT TRUE" if connection.info.server_version >= 160000 else ""
    grant = sql.SQL("GRANT {} TO {} " + options).format(sql.Identifier(role), sql.Identifier(row[0]))
    connection.execute(grant)


def exists(connection: Connection, database: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is not None


def remove_database(connection: Connection, database: str) -> None:
    """Drop it with everybody in it; nothing happens when it is not there."""
    if exists(connection, database):
        name = sql.Identifier(database)
        connection.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(name))
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
