"""No program takes more of the database server than its share: time, places, disk; others do not notice."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import urlsplit

import psycopg
import pytest

from grader.services.postgres import Database, Server, down, lease
from grader.services.postgres.watchdog import Watchdog


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GRADER_POSTGRES_PORT", "1")
        patch.delenv("DATABASE_URL", raising=False)
        with lease("tests") as leased:
            yield leased
        for thread in threading.enumerate():
            if thread.name == "grader collect":
                thread.join()
        down(force=True, erase=True)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    made = server.create()
    yield made
    made.drop()


@contextmanager
def _watchdog(server: Server, database: Database, *, most_bytes: int = 2**30, **limits: float) -> Iterator[Watchdog]:
    watchdog = Watchdog(server._endpoint, tick_seconds=0.05, **limits)
    watchdog.watch(database.name, most_bytes)
    try:
        yield watchdog
    finally:
        watchdog.close()  # from here on it is at rest: what it has ended is written down


def _learner(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(database.url, autocommit=True)
    connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
    return connection


def _learner_in_time(database: Database, seconds: float = 30) -> psycopg.Connection[tuple[object, ...]]:
    """A connection as soon as there is a place for it."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _learner(database)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise


def test_a_statement_whose_limit_was_lifted_is_ended(server: Server, database: Database) -> None:
    with (
        _watchdog(server, database, statement_seconds=0.3) as watchdog,
        _learner(database) as connection,
        pytest.raises(psycopg.errors.AdminShutdown),
    ):
        connection.execute("SELECT pg_sleep(600)")
    assert watchdog.ended == ["the grader ended a statement that ran for 0 seconds: SELECT pg_sleep(600)"]


def test_a_lock_that_is_never_given_back_is_ended(server: Server, database: Database) -> None:
    with closing(_learner(database)) as connection:
        connection.execute("CREATE TABLE t (i int)")
        connection.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with _watchdog(server, database, statement_seconds=0.3) as watchdog:
            # Its notice of the end is the event: nothing else is ever sent to an idle session.
            assert select.select([connection], [], [], 60)[0]
            assert database.rows("SELECT * FROM public.t") == []
    assert "a transaction that was left open" in watchdog.ended[0]
    assert "LOCK TABLE t" in watchdog.ended[0]


def test_nobody_else_is_ended(server: Server, database: Database) -> None:
    with _learner(database) as other, _learner(server.create()) as mine:
        name = mine.info.dbname
        other.execute("BEGIN")
        with _watchdog(server, database, statement_seconds=0.2) as watchdog:
            watchdog.forget(database.name)
            watchdog.watch(name)
            with pytest.raises(psycopg.errors.AdminShutdown):
                mine.execute("SELECT pg_sleep(600)")
        assert other.execute("SELECT 1").fetchone() == (1,)


def _strangers(database: Database, stack: ExitStack, count: int) -> list[socket.socket]:
    """Connections that say who they are and then never answer the question for a password."""
    where = urlsplit(database.url)
    assert where.username
    body = struct.pack("!i", 196608) + b"".join(part.encode() + b"\0" for part in ("user", where.username, ""))
    flood = []
    for _ in range(count):
        stranger = stack.enter_context(socket.create_connection((where.hostname, where.port), 10))
        stranger.sendall(struct.pack("!i", len(body) + 4) + body)
        flood.append(stranger)
    return flood


def test_a_flood_of_logins_leaves_places_for_others(server: Server, database: Database) -> None:
    with ExitStack() as stack, _watchdog(server, database, login_seconds=0.2) as watchdog:
        flood = _strangers(database, stack, 300)
        assert database.rows("SELECT 1 AS one") == [{"one": 1}], "it may have to wait for a place, and gets one"
        with _learner_in_time(server.create()) as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
        for stranger in flood:
            stranger.settimeout(30)
            with suppress(ConnectionResetError):
                while stranger.recv(4096):
                    pass
    assert any("that did not log in" in line for line in watchdog.ended)


def _fill(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    while True:
        connection.execute("INSERT INTO hog SELECT repeat(md5(n::text), 30000) FROM generate_series(1, 3) n")


def test_a_database_that_outgrows_its_limit_is_shut_and_named(server: Server, database: Database) -> None:
    with _learner(database) as connection:
        connection.execute("CREATE TABLE kept (i int); INSERT INTO kept VALUES (1)")
        connection.execute("CREATE TABLE hog (data text); ALTER TABLE hog ALTER data SET STORAGE EXTERNAL")
        with _watchdog(server, database, most_bytes=30 * 2**20) as watchdog:
            assert watchdog.over_limit() is None
            with pytest.raises(psycopg.OperationalError):
                _fill(connection)
            over = watchdog.over_limit()
            assert over is not None
            assert "it may have 30 MB" in over.what
            assert (over.slug, over.exit_code) == ("database-limit", 1)
            assert watchdog.over_limit() is None, "said once"
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        psycopg.connect(database.url)
    assert database.rows("SELECT i FROM public.kept") == [{"i": 1}], "what it kept stays readable"


def test_a_growth_between_two_looks_is_still_found(server: Server, database: Database) -> None:
    with _watchdog(server, database, most_bytes=2**20) as watchdog:
        watchdog._stop.set()
        watchdog._thread.join()
        assert watchdog.over_limit() is not None, "an empty database with pgvector is larger than that"


def test_a_watchdog_whose_server_is_gone_ends_quietly(server: Server, database: Database) -> None:
    with _watchdog(server, database) as watchdog:
        pid = watchdog._connection.info.backend_pid
        with server._endpoint.connect("tests") as administrator:
            administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))
        watchdog._thread.join(30)
        assert not watchdog._thread.is_alive()
        assert watchdog.over_limit() is None


def test_every_lease_has_a_watchdog_over_what_it_makes(server: Server, database: Database) -> None:
    assert server._watchdog is not None
    assert database.name in server._watchdog._watched
    assert server.over_limit() is None
