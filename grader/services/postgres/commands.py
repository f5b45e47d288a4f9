"""What `grader db up`, `down`, `status` and `url` do; they return plain data and print nothing."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from grader.services.postgres import faults
from grader.services.postgres.endpoint import Connection, Endpoint, Source
from grader.services.postgres.find import find
from grader.services.postgres.server import Mode, Server
from grader.services.postgres.template import EMPTY, exists

NAME = "grader command"  # of our sessions; leases have other names
SCRATCH = "scratch"  # the learner's own database and role; never collected, lost with the cluster


@dataclass(frozen=True)
class Status:
    """What runs now.

    Attributes:
        running: whether a server answers.
        source: how it was found; None when nothing answers.
        version: PostgreSQL's version, or "".
        pgvector: the extension's version, or "".
        mode: "template" or "schema"; None when nothing answers.
        leases: one line per open lease, such as "check lab-07 (process 4711)".
        databases: how many databases of runs are there, leftovers included.
        data: folder of the embedded cluster, or "".
        stays: whether `up` asked it to stay without leases.
    """

    running: bool
    source: Source | None = None
    version: str = ""
    pgvector: str = ""
    mode: Mode | None = None
    leases: tuple[str, ...] = ()
    databases: int = 0
    data: str = ""
    stays: bool = False


@dataclass(frozen=True)
class Stopped:
    """How `down` ended.

    Attributes:
        stopped: whether a server was stopped.
        leases: open leases; without `force` they keep the server up.
        why: one sentence when nothing was stopped.
    """

    stopped: bool
    leases: tuple[str, ...] = ()
    why: str = ""


def up() -> Status:
    """Start a server unless one answers; an embedded one stays up until `down`."""
    with _session(start=True) as found:
        assert found is not None
        endpoint, _ = found
        if endpoint.source in {"embedded", "running"}:
            from grader.services.postgres.home import Home  # noqa: PLC0415  # not on Windows

            Home.open().keep.touch()
        return _status(*found)


def status() -> Status:
    """What runs now; starts nothing."""
    with _session(start=False) as found:
        return _status(*found) if found else Status(running=False)


def down(*, force: bool = False, erase: bool = False) -> Stopped:
    """Stop our embedded server.

    Args:
        force: also while leases are open; their runs end with `database-lost`.
        erase: remove its cluster too; the next start makes a new one.
    """
    if sys.platform == "win32":
        return Stopped(stopped=False, why="There is no embedded server on Windows.")
    from grader.services.postgres import embedded  # noqa: PLC0415  # fcntl: not on Windows
    from grader.services.postgres.home import Home  # noqa: PLC0415  # as above

    home = Home.open()
    leases: tuple[str, ...] = ()
    if found := embedded.attach(home, NAME):
        with suppress(psycopg.Error), found[1] as connection:
            leases = _leases(connection)
        if leases and not force:
            return Stopped(stopped=False, leases=leases, why="Its leases are open.")
    stopped = embedded.stop(home)
    if erase:
        home.erase()
    return Stopped(stopped=stopped, leases=leases, why="" if stopped else "No embedded server of ours is running.")


def url() -> str:
    """The address of a database to develop against: the learner's own, on the server that checks use.

    With DATABASE_URL set it is DATABASE_URL. An embedded server stops when idle; `up` keeps it.
    """
    if chosen := os.environ.get("DATABASE_URL"):
        return chosen
    with _session(start=True) as found, faults.translated("making your database"):
        assert found is not None
        return _scratch(*found)


@contextmanager
def _session(*, start: bool) -> Iterator[tuple[Endpoint, Connection] | None]:
    found = find(NAME, start=start)
    try:
        yield found
    finally:
        if found:
            with suppress(psycopg.Error):
                found[1].close()


def _status(endpoint: Endpoint, connection: Connection) -> Status:
    server = Server(endpoint, connection)
    with faults.translated("asking for its status"):
        row = connection.execute("SELECT count(*) FROM pg_database WHERE datname ~ '^lab_[0-9a-f]+_'").fetchone()
        data, stays = "", False
        if endpoint.source in {"embedded", "running"}:
            from grader.services.postgres.home import Home  # noqa: PLC0415  # not on Windows

            home = Home.open()
            data, stays = str(home.state().get("data", "")), home.keep.exists()
        return Status(
            running=True,
            source=endpoint.source,
            version=server.version,
            pgvector=server.pgvector,
            mode=server.mode,
            leases=_leases(connection),
            databases=int(row[0]) if row else 0,
            data=data,
            stays=stays,
        )


def _leases(connection: Connection) -> tuple[str, ...]:
    prefix = "grader lease: "
    rows = connection.execute(
        "SELECT application_name FROM pg_stat_activity WHERE starts_with(application_name, %s) ORDER BY backend_start",
        (prefix,),
    ).fetchall()
    return tuple(str(name).removeprefix(prefix) for (name,) in rows)


def _scratch(endpoint: Endpoint, connection: Connection) -> str:
    """The learner's database, made on first use; its password is kept in a private file of ours."""
    from grader.services.postgres.home import Home  # noqa: PLC0415  # the folder is needed here only

    password_file = Home.open().folder / "scratch.json"
    password = _known_password(password_file)
    if password is None or not exists(connection, SCRATCH):
        password = secrets.token_urlsafe(18)
        _make_scratch(endpoint, connection, password)
        password_file.write_text(json.dumps({"password": password}), encoding="ascii")
        password_file.chmod(0o600)
    return endpoint.learner_url(SCRATCH, password, SCRATCH)


def _known_password(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="ascii"))["password"])
    except (OSError, ValueError, KeyError):
        return None


def _make_scratch(endpoint: Endpoint, connection: Connection, password: str) -> None:
    server = Server(endpoint, connection)
    with suppress(psycopg.errors.DuplicateObject):
        connection.execute(f"CREATE ROLE {SCRATCH} LOGIN")
    encrypted = connection.pgconn.encrypt_password(password.encode(), SCRATCH.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE scratch PASSWORD {}").format(sql.Literal(encrypted)))
    if not exists(connection, SCRATCH):
        server.clone_for(SCRATCH, SCRATCH, EMPTY)
