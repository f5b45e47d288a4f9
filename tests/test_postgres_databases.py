"""What a learner's role may do, what the grader reads, and how databases are made and collected."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from grader.errors import EnvironmentFault, GraderFault
from grader.services.postgres import EMPTY, Database, QueryRefusedError, Server, Template, down, lease, leftovers
from grader.services.postgres.endpoint import Connection
from grader.services.postgres.template import Templates, template_name

CHUNKS = Template("""
CREATE TABLE chunks (id int PRIMARY KEY, tenant text NOT NULL, e vector(3));
INSERT INTO chunks SELECT i, 'acme', ARRAY[i, i, i]::vector FROM generate_series(1, 100) i;
CREATE INDEX chunks_e ON chunks USING hnsw (e vector_l2_ops);
""")


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


@pytest.fixture(scope="module")
def shared(server: Server) -> Database:
    """A database that probes may not change; the privileges under test keep them from it."""
    return server.create(CHUNKS)


@pytest.fixture
def database(server: Server) -> Database:
    return server.create(CHUNKS)


def learner(database: Database) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(database.url, autocommit=True)


def test_the_learners_address_is_plain_tcp(shared: Database) -> None:
    assert shared.url.startswith(f"postgresql://{shared.role}:")
    assert "@127.0.0.1:" in shared.url
    assert shared.url.endswith(f"/{shared.name}")


def test_the_learner_searches_vectors(shared: Database) -> None:
    with learner(shared) as connection:
        assert connection.execute("SELECT id FROM chunks ORDER BY e <-> '[3, 3, 3]' LIMIT 1").fetchone() == (3,)


def test_the_learner_connects_asynchronously(shared: Database) -> None:
    async def count() -> object:
        async with await psycopg.AsyncConnection.connect(shared.url) as connection:
            row = await (await connection.execute("SELECT count(*) FROM chunks")).fetchone()
            return row[0] if row else None

    assert asyncio.run(count()) == 100


ALLOWED = {
    "own_tables_and_vector_indexes": "CREATE TABLE t (e vector(3)); CREATE INDEX ON t USING hnsw (e vector_cosine_ops)",
    "changing_the_templates_table": "ALTER TABLE chunks ADD COLUMN page int; DROP INDEX chunks_e",
    "asking_for_the_extension": "CREATE EXTENSION IF NOT EXISTS vector",
    "own_schema": "CREATE SCHEMA app; CREATE TABLE app.t (i int)",
    "forced_row_security": "ALTER TABLE chunks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    "locks_and_notifications": "SELECT pg_advisory_lock(1); LISTEN x; SET hnsw.iterative_scan = relaxed_order",
    "large_objects": "SELECT lo_from_bytea(0, 'x')",
    "functions_of_its_own": "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'; SELECT f()",
    "temporary_tables": "CREATE TEMPORARY TABLE t (i int)",
}


def test_the_learner_may_do_what_applications_do(database: Database) -> None:
    for what, statement in ALLOWED.items():
        with learner(database) as connection:
            connection.execute(statement.encode())
        assert what


DENIED = {
    "copy_to_program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "copy_from_program": "COPY chunks FROM PROGRAM 'true'",
    "copy_from_file": "COPY chunks FROM '/etc/passwd'",
    "copy_to_file": "COPY chunks TO '/tmp/x'",
    "read_file": "SELECT pg_read_file('/etc/passwd')",
    "list_folder": "SELECT pg_ls_dir('/')",
    "import_large_object": "SELECT lo_import('/etc/passwd')",
    "alter_system": "ALTER SYSTEM SET fsync = on",
    "make_a_role": "CREATE ROLE evil SUPERUSER",
    "become_superuser": "ALTER ROLE CURRENT_USER SUPERUSER",
    "make_a_database": "CREATE DATABASE evil",
    "become_postgres": "SET ROLE postgres",
    "change_session_user": "SET SESSION AUTHORIZATION postgres",
    "c_function": "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc.so.6', 'system'",
    "load_a_library": "LOAD '/tmp/evil.so'",
    "password_hashes": "SELECT rolpassword FROM pg_authid",
    "raise_its_disk_limit": "SET temp_file_limit = -1",
    "raise_its_connection_limit": "ALTER ROLE CURRENT_USER CONNECTION LIMIT 100",
    "join_the_template_owner": "GRANT lab_owner TO CURRENT_USER",
    "join_the_superuser": "GRANT postgres TO CURRENT_USER",
    "program_role": "GRANT pg_execute_server_program TO CURRENT_USER",
    "event_trigger": "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION pg_catalog.now()",
    "preload": "ALTER ROLE CURRENT_USER SET session_preload_libraries = 'evil'",
    "log_statements": "SET log_statement = 'all'",
    "foreign_data": "CREATE EXTENSION file_fdw",
    "call_other_servers": "CREATE EXTENSION dblink",
    "python_functions": "CREATE EXTENSION plpython3u",
    "subscribe_to_other_servers": "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p",
    "publish_everything": "CREATE PUBLICATION p FOR ALL TABLES",
    "look_at_a_file": "SELECT pg_stat_file('/etc/passwd')",
    "read_bytes_of_the_cluster": "SELECT pg_read_binary_file('PG_VERSION')",
    "list_the_logs": "SELECT pg_ls_logdir()",
    "where_the_cluster_lies": "SELECT current_setting('data_directory')",
    "who_may_log_in": "SELECT * FROM pg_hba_file_rules",
    "settings_files": "SELECT * FROM pg_file_settings",
    "reload": "SELECT pg_reload_conf()",
    "switch_logs": "SELECT pg_switch_wal()",
    "promote": "SELECT pg_promote()",
    "memory_of_others": "SELECT pg_log_backend_memory_contexts(pid) FROM pg_stat_activity",
    "cancel_others": "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "lock_a_catalogue": "BEGIN; LOCK TABLE pg_catalog.pg_class IN ACCESS EXCLUSIVE MODE",
    "write_a_catalogue": "UPDATE pg_catalog.pg_database SET datconnlimit = 0",
    "tablespace": "CREATE TABLESPACE t LOCATION '/tmp'",
    "bypass_row_security": "ALTER ROLE CURRENT_USER BYPASSRLS",
    "let_the_template_owner_log_in": "ALTER ROLE lab_owner LOGIN",
    "verbose_server_log": "SET log_min_messages = debug5",
    "comment_on_other_databases": "COMMENT ON DATABASE postgres IS 'mine'",
}


@pytest.mark.parametrize("statement", DENIED.values(), ids=DENIED.keys())
def test_the_learner_may_not(shared: Database, statement: str) -> None:
    refusals = (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.UndefinedFile,
        psycopg.errors.FeatureNotSupported,
    )
    with learner(shared) as connection, pytest.raises(refusals):
        connection.execute(statement.encode())


def test_the_learner_may_not_touch_its_database_as_a_whole(shared: Database) -> None:
    for change in ("SET search_path = evil", "IS_TEMPLATE true", "CONNECTION LIMIT -1", "RENAME TO lab_evil"):
        with learner(shared) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"ALTER DATABASE {shared.name} {change}".encode())


def test_the_learner_may_not_end_or_read_sessions_of_others(server: Server, shared: Database) -> None:
    pid = server._connection.info.backend_pid
    with learner(shared) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        seen = connection.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
        assert seen == ("<insufficient privilege>",)


@pytest.mark.parametrize("name", ["postgres", "template1", "lab_other"])
def test_no_other_database_lets_the_learner_in(server: Server, shared: Database, name: str) -> None:
    other = server.create().name if name == "lab_other" else name
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        psycopg.connect(shared.url, dbname=other)


def test_the_superuser_cannot_log_in_over_tcp(server: Server, shared: Database) -> None:
    login = server._endpoint.login
    for name in ("postgres", shared.name):
        with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
            psycopg.connect(f"postgresql://postgres:{login['password']}@127.0.0.1:{login['port']}/{name}")


def test_nobody_gets_in_without_a_password(server: Server, shared: Database) -> None:
    for user, name in (("postgres", "postgres"), (shared.role, shared.name)):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                host=server._endpoint.login["host"], port=server._endpoint.login["port"], user=user, dbname=name
            )


def test_the_twenty_sixth_connection_is_refused_and_the_grader_still_reads(shared: Database) -> None:
    connections = [learner(shared) for _ in range(25)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            learner(shared)
        assert shared.rows("SELECT count(*) AS n FROM public.chunks") == [{"n": 100}]
    finally:
        for connection in connections:
            connection.close()


def test_a_role_starts_with_the_limits_of_the_labs(shared: Database) -> None:
    with learner(shared) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("statement_timeout", "temp_file_limit", "idle_in_transaction_session_timeout")
        ]
    assert shown == [("15s",), ("64MB",), ("15s",)]


def test_a_view_in_place_of_a_table_runs_nothing(server: Server, database: Database) -> None:
    """The attack: the grader selects from a table, and the learner's function runs with the grader's rights."""
    place = Path(server._endpoint.login["host"])  # a folder that the server itself may write to
    marker = place / f"marker-{secrets.token_hex(4)}"
    with learner(database) as connection:
        connection.execute(
            f"""
            CREATE FUNCTION attack() RETURNS boolean LANGUAGE plpgsql AS $$
            BEGIN
                EXECUTE 'COPY (SELECT 1) TO PROGRAM ''cat > {marker}''';
                RETURN true;
            END $$;
            ALTER TABLE chunks RENAME TO real_chunks;
            CREATE VIEW chunks AS SELECT * FROM real_chunks WHERE attack();
            CREATE OPERATOR < (LEFTARG = int, RIGHTARG = int, FUNCTION = int4gt);
            """.encode()
        )
    for query in ("SELECT * FROM public.chunks", "SELECT count(*) FROM public.chunks"):
        with pytest.raises(QueryRefusedError) as refused:
            database.rows(query)
        assert refused.value.sqlstate == "42501"
    assert {relation.name: relation.kind for relation in database.relations()}["chunks"] == "view"
    assert database.size_bytes() > 0
    database.terminate_sessions()
    assert not marker.exists()
    # The same read as the superuser is the hole that was closed: it proves that this attack is a real one.
    with server._endpoint.connect("tests", database=database.name) as superuser:
        superuser.execute("SELECT * FROM public.chunks")
    assert marker.exists()
    marker.unlink()


def test_a_read_cannot_write(database: Database) -> None:
    with learner(database) as connection:
        connection.execute("""
            CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM set_config('transaction_read_only', 'off', true);
                DELETE FROM public.chunks;
                RETURN 1;
            END $$
        """)
    with pytest.raises(QueryRefusedError):
        database.rows("SELECT public.sneak()")
    with pytest.raises(QueryRefusedError) as refused:
        database.rows("DELETE FROM public.chunks RETURNING id")
    assert refused.value.sqlstate == "25006"
    assert database.rows("SELECT count(*) AS n FROM public.chunks") == [{"n": 100}]


def test_settings_of_the_learner_do_not_reach_a_read(database: Database) -> None:
    with learner(database) as connection:
        for setting in (
            "search_path = public",
            "statement_timeout = 1",
            "bytea_output = escape",
            "timezone = 'Asia/Tokyo'",
        ):
            connection.execute(f"ALTER ROLE CURRENT_USER SET {setting}".encode())
        connection.execute("ALTER ROLE CURRENT_USER PASSWORD 'other'")
    read = database.rows(
        "SELECT current_setting('search_path') AS path, current_setting('TimeZone') AS zone, '\\x00'::bytea AS b,"
        " current_setting('transaction_read_only') AS locked"
    )
    assert read == [{"path": "pg_catalog", "zone": "UTC", "b": b"\0", "locked": "on"}]


def test_a_locked_table_is_the_learners_fault(database: Database) -> None:
    with learner(database) as connection, connection.transaction():
        connection.execute("LOCK TABLE chunks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(QueryRefusedError) as refused:
            database.rows("SELECT * FROM public.chunks")
    assert refused.value.sqlstate == "55P03"


def test_giving_up_its_own_rights_is_the_learners_fault(database: Database) -> None:
    with learner(database) as connection:
        connection.execute("DROP OWNED BY CURRENT_USER CASCADE")
    with pytest.raises(QueryRefusedError):
        database.rows("SELECT * FROM public.chunks")


def test_a_function_that_pretends_the_server_died_is_the_learners_fault(database: Database) -> None:
    with learner(database) as connection:
        connection.execute("""
            CREATE FUNCTION dead() RETURNS int LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'terminating connection' USING ERRCODE = '57P01'; END $$
        """)
    with pytest.raises(QueryRefusedError):
        database.rows("SELECT public.dead()")


def test_rows_hidden_by_a_policy_are_refused_not_missing(database: Database) -> None:
    with learner(database) as connection:
        connection.execute("""
            ALTER TABLE chunks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
            CREATE POLICY own ON chunks USING (tenant = current_setting('app.tenant'));
        """)
    with pytest.raises(QueryRefusedError, match="row-level security"):
        database.rows("SELECT * FROM public.chunks")
    for tenant, seen in (("acme", 100), ("other", 0)):
        settings = {"app.tenant": tenant, "row_security": "on"}
        assert database.rows("SELECT count(*) AS n FROM public.chunks", settings=settings) == [{"n": seen}]


def test_reads_take_parameters_and_explain(shared: Database) -> None:
    nearest = "SELECT id FROM public.chunks ORDER BY e OPERATOR(public.<->) %(q)s::public.vector LIMIT 2"
    assert [row["id"] for row in shared.rows(nearest, {"q": "[1, 1, 1]"})] == [1, 2]
    assert shared.rows("SELECT 7 %% 4 AS m WHERE 1 = %s", (1,)) == [{"m": 3}]
    plan = shared.rows("EXPLAIN (FORMAT JSON) SELECT count(*) FROM public.chunks")
    assert "Plan" in plan[0]["QUERY PLAN"][0]


def test_a_flood_of_rows_is_refused(shared: Database) -> None:
    with pytest.raises(QueryRefusedError, match="more than 50 rows"):
        shared.rows("SELECT * FROM public.chunks", limit=50)


def test_relations_show_tables_indexes_and_column_types(shared: Database) -> None:
    relations = {relation.name: relation for relation in shared.relations()}
    assert set(relations) == {"chunks", "chunks_pkey", "chunks_e"}
    assert [(column.name, column.type) for column in relations["chunks"].columns][-1] == ("e", "vector(3)")
    assert relations["chunks_e"].method == "hnsw"


def test_ending_sessions_ends_the_programs_only(database: Database) -> None:
    with learner(database) as connection:
        assert database.terminate_sessions() == 1
        with pytest.raises(psycopg.errors.AdminShutdown):
            connection.execute("SELECT 1")
    assert len(database.rows("SELECT * FROM public.chunks")) == 100


def test_the_same_template_is_built_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = Templates._build

    def counted(templates: Templates, connection: Connection, template: Template, name: str) -> None:
        built.append(name)
        build(templates, connection, template, name)

    monkeypatch.setattr(Templates, "_build", counted)
    text = Template(f"CREATE TABLE t (i int); -- {secrets.token_hex(4)}")
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(server.create, [text] * 4))
    assert len({database.name for database in made}) == 4
    with lease("another run") as other:
        other.create(text)
    name = server._templates.name(text)
    assert built == [name]
    found = server._connection.execute(
        "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = %s", (name,)
    ).fetchall()
    assert found == [(True, False)]


def test_another_text_or_version_is_another_template() -> None:
    names = {
        template_name(EMPTY, 180004, "0.8.5"),
        template_name(CHUNKS, 180004, "0.8.5"),
        template_name(EMPTY, 180005, "0.8.5"),
        template_name(EMPTY, 180004, "0.8.6"),
    }
    assert len(names) == 4


def test_a_template_that_was_dropped_is_built_again(server: Server) -> None:
    text = Template(f"CREATE TABLE t (i int); -- {secrets.token_hex(4)}")
    server.create(text)
    name = server._templates.name(text)
    server._connection.execute(f"ALTER DATABASE {name} IS_TEMPLATE false".encode())
    server._connection.execute(f"DROP DATABASE {name}".encode())
    assert [relation.name for relation in server.create(text).relations()] == ["t"]


def test_a_template_that_does_not_run_is_our_fault_and_leaves_nothing(server: Server) -> None:
    broken = Template("CREATE TABLE t (i int); SELECT nonsense")
    with pytest.raises(GraderFault) as fault:
        server.create(broken)
    assert fault.value.slug == "template-broken"
    digest = server._templates.name(broken).removeprefix("lab_tpl_")
    left = server._connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"%{digest}",))
    assert left.fetchall() == []


def test_leftovers_of_dead_runs_are_collected_and_live_ones_kept(server: Server, shared: Database) -> None:
    with lease("another run") as other:
        dead = other.create()
        assert leftovers.collect(server._endpoint) == 0
        assert dead.rows("SELECT 1 AS one") == [{"one": 1}]
        other._connection.close()  # what a kill -9 of the other grader does to its lease
        leftovers.collect(server._endpoint)
    for catalogue, column in (("pg_database", "datname"), ("pg_roles", "rolname")):
        left = server._connection.execute(
            f"SELECT 1 FROM {catalogue} WHERE starts_with({column}, %s)".encode(), (dead.name,)
        )
        assert left.fetchone() is None
    assert shared.rows("SELECT count(*) AS n FROM public.chunks") == [{"n": 100}]


def test_only_names_of_ours_are_collected(server: Server) -> None:
    server._connection.execute("CREATE DATABASE lab_of_somebody")
    try:
        leftovers.collect(server._endpoint)
        found = server._connection.execute("SELECT 1 FROM pg_database WHERE datname = 'lab_of_somebody'").fetchone()
        assert found == (1,)
    finally:
        server._connection.execute("DROP DATABASE lab_of_somebody")


def test_a_lease_that_was_ended_by_the_server_is_database_lost(server: Server) -> None:
    with lease("doomed") as other:
        database = other.create()
        server._connection.execute("SELECT pg_terminate_backend(%s)", (other._connection.info.backend_pid,))
        for act in (other.create, database.size_bytes, database.terminate_sessions):
            with pytest.raises(EnvironmentFault) as fault:
                act()
            assert fault.value.slug == "database-lost"


@pytest.mark.usefixtures("server")
def test_the_server_does_not_run_as_root() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc")
    from grader.services.postgres.home import Home

    assert Path(f"/proc/{Home.open().state()['postmaster']}").stat().st_uid != 0
