"""Which server is used, what is asked of it, and what `grader db` tells about it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from grader.errors import EnvironmentFault
from grader.places import cache_folder
from grader.services.postgres import EMPTY, Template, down, find, lease, status, up, url
from grader.services.postgres.endpoint import Endpoint
from grader.services.postgres.home import Home
from grader.services.postgres.server import preflight


@pytest.fixture(scope="module")
def users_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that plays the user's own: an embedded one of another home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_HOME", str(tmp_path_factory.mktemp("users")))
        patch.setenv("GRADER_POSTGRES_PORT", "1")
        patch.delenv("DATABASE_URL", raising=False)
        with lease("the user's server") as server:
            access = Path(Home.open().state()["data"]) / "pg_hba.conf"
            access.write_text("local all plain scram-sha-256\nlocal all boss scram-sha-256\n" + access.read_text())
            server._connection.execute("SELECT pg_reload_conf()")
            yield server._endpoint
        _let_collections_end()
        down(force=True, erase=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("GRADER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GRADER_POSTGRES_PORT", "1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    yield Home.open()
    _let_collections_end()
    down(force=True, erase=True)


def _let_collections_end() -> None:
    for thread in threading.enumerate():
        if thread.name == "grader collect":
            thread.join()


def address(endpoint: Endpoint, user: str = "postgres", password: str = "", name: str = "postgres") -> str:
    login = endpoint.login
    return f"postgresql://{user}:{password or login['password']}@/{name}?host={login['host']}&port={login['port']}"


def test_database_url_comes_first_and_nothing_else_is_started(
    users_server: Endpoint, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", address(users_server))
    with lease("mine") as server:
        assert (server.source, server.mode) == ("DATABASE_URL", "template")
        database = server.create(Template("CREATE TABLE t (e vector(2)); INSERT INTO t VALUES ('[1, 2]')"))
        with psycopg.connect(database.url) as connection:
            assert connection.execute("SELECT e::text FROM t").fetchone() == ("[1,2]",)
        assert database.rows("SELECT e::text AS e FROM public.t") == [{"e": "[1,2]"}]
        assert "postgres" not in database.role
    assert url() == address(users_server)
    assert home.state() == {}


def test_a_role_that_may_make_nothing_gets_a_schema(
    users_server: Endpoint, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with users_server.connect("tests") as connection:
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        connection.execute("CREATE DATABASE plain OWNER plain")
    monkeypatch.setenv("DATABASE_URL", address(users_server, "plain", "plain", "plain"))
    with pytest.raises(EnvironmentFault) as fault, lease():
        pass
    assert fault.value.slug == "pgvector-missing"

    with users_server.connect("tests", database="plain") as connection:
        connection.execute("CREATE EXTENSION vector SCHEMA public")
    with lease() as server:
        assert server.mode == "schema"
        database = server.create(Template("CREATE TABLE t (e vector(2)); INSERT INTO t VALUES ('[1, 2]')"))
        with psycopg.connect(database.url) as connection:
            assert connection.execute("SELECT e::text FROM t").fetchone() == ("[1,2]",)
        assert database.rows(f"SELECT e::text AS e FROM {database.schema}.t") == [{"e": "[1,2]"}]
        assert [(relation.schema, relation.name) for relation in database.relations()] == [(database.schema, "t")]
        assert database.size_bytes() > 0
        other = server.create(EMPTY)
        assert other.schema != database.schema
        assert other.relations() == []
        assert home.state() == {}
    _let_collections_end()
    with users_server.connect("tests", database="plain") as connection:
        assert connection.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'lab%'").fetchone() is None


def test_a_role_that_may_make_databases_needs_the_extension_for_its_templates(
    users_server: Endpoint, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Managed servers let such a role create the extension; here it has to be in the template of all databases."""
    with users_server.connect("tests") as connection:
        connection.execute("CREATE ROLE boss LOGIN CREATEDB CREATEROLE PASSWORD 'boss'")
        connection.execute("CREATE DATABASE boss OWNER boss")
    with users_server.connect("tests", database="boss") as connection:
        connection.execute("CREATE EXTENSION vector SCHEMA public")
    monkeypatch.setenv("DATABASE_URL", address(users_server, "boss", "boss", "boss"))
    held = Template("CREATE TABLE t (e vector(2)); INSERT INTO t VALUES ('[1, 2]')")
    with lease() as server:
        assert server.mode == "schema"
        database = server.create(held)
        assert database.rows(f"SELECT e::text AS e FROM {database.schema}.t") == [{"e": "[1,2]"}]

    with users_server.connect("tests") as connection:
        connection.execute("ALTER DATABASE template0 ALLOW_CONNECTIONS true")
        with users_server.connect("tests", database="template0") as inside:
            inside.execute("CREATE EXTENSION vector SCHEMA public")
        connection.execute("ALTER DATABASE template0 ALLOW_CONNECTIONS false")
    with lease() as server:
        assert server.mode == "template"
        database = server.create(held)
        assert database.role != "boss"
        with psycopg.connect(database.url) as learner:
            assert learner.execute("SELECT e::text FROM t").fetchone() == ("[1,2]",)
            learner.execute("CREATE INDEX ON t USING hnsw (e vector_l2_ops)")
        assert database.rows("SELECT e::text AS e FROM public.t") == [{"e": "[1,2]"}]
        assert database.terminate_sessions() == 0
        name = database.name
    _let_collections_end()
    with users_server.connect("tests") as connection:
        assert connection.execute("SELECT 1 FROM pg_roles WHERE starts_with(rolname, %s)", (name,)).fetchone() is None
    assert home.state() == {}


@pytest.mark.parametrize("value", ["postgresql://127.0.0.1:1/nothing", "not an address"])
def test_a_database_url_that_leads_nowhere_is_named(home: Home, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(EnvironmentFault) as fault, lease():
        pass
    assert fault.value.slug == "no-database"
    assert "docker compose up -d --wait" in fault.value.mend
    assert home.state() == {}


def _answering(version: int, pgvector: str | None) -> psycopg.Connection[Any]:
    """What a server of another version answers; we have no such server to ask."""
    info = SimpleNamespace(server_version=version, parameter_status=lambda _: str(version // 10000))
    answer = SimpleNamespace(fetchone=lambda: (pgvector,))
    return cast("psycopg.Connection[Any]", SimpleNamespace(info=info, execute=lambda _: answer))


@pytest.mark.parametrize(
    ("version", "pgvector", "slug"),
    [
        (140012, "0.8.6", "postgres-too-old"),
        (180004, None, "pgvector-missing"),
        (180004, "0.8.1", "pgvector-too-old"),
        (180004, "0.6.2", "pgvector-too-old"),
    ],
)
def test_a_server_too_old_is_refused_with_its_version(version: int, pgvector: str | None, slug: str) -> None:
    with pytest.raises(EnvironmentFault) as fault:
        preflight(_answering(version, pgvector))
    assert fault.value.slug == slug


@pytest.mark.parametrize("pgvector", ["0.8.2", "0.8.10", "0.10.0", "1.0"])
def test_a_server_new_enough_is_taken(pgvector: str) -> None:
    assert preflight(_answering(150000, pgvector)) == pgvector


def test_a_server_on_dockers_port_that_is_not_ours_is_left_alone(
    users_server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADER_POSTGRES_PORT", users_server.login["port"])
    assert find._docker("tests") is None


def test_up_keeps_the_server_and_down_names_the_leases(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADER_POSTGRES_IDLE", "0.1")
    assert status().running is False
    assert down().stopped is False
    started = up()
    assert (started.running, started.stays, started.mode, started.leases) == (True, True, "template", ())
    with lease("check lab-07") as server:
        assert server.source == "running"
        server.create()
        assert status().databases == 1
        assert status().leases == (f"check lab-07 (process {os.getpid()})",)
        refused = down()
        assert (refused.stopped, len(refused.leases)) == (False, 1)
        assert status().running is True
    _let_collections_end()
    assert status().databases == 0
    assert down().stopped is True
    assert status().running is False
    assert home.state() == {}


def test_the_learners_own_database_stays_across_restarts(home: Home) -> None:
    first = url()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mine (e vector(2))")
    assert url() == first
    down(force=True)
    with psycopg.connect(url()) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    assert (home.folder / "scratch.json").stat().st_mode & 0o777 == 0o600


def test_an_address_keeps_what_the_users_address_asks_for() -> None:
    endpoint = Endpoint.from_url("postgresql://me:p%40ss@db.example:6543/app?sslmode=require", "DATABASE_URL")
    assert endpoint.learner_url("lab", "a/b", "x") == "postgresql://lab:a%2Fb@db.example:6543/x?sslmode=require"
    assert "p@ss" not in repr(endpoint)
    plain = Endpoint.from_url("postgresql://me@[::1]/app", "DATABASE_URL")
    assert plain.learner_url("lab", "pw", "x", search_path="s,public").endswith(
        "@[::1]:5432/x?options=-c%20search_path%3Ds%2Cpublic"
    )


def test_the_cache_is_the_users_unless_told(tmp_path: Path) -> None:
    assert cache_folder({"GRADER_HOME": str(tmp_path)}) == tmp_path
    if sys.platform == "linux":
        assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "ai-engineering-labs"
