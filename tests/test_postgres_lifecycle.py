"""The embedded server comes up once, goes away by itself, and outlives nobody's kill -9."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grader.errors import EnvironmentFault
from grader.services.postgres import cluster, down, engine, lease, postmaster, processes, status
from grader.services.postgres.home import Home, choose_parent
from grader.services.postgres.locks import held, locked

REPOSITORY = Path(__file__).parent.parent
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
WITH_PROC = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
GRADER = """
import json, os, sys
from grader.services.postgres import lease
from grader.services.postgres.home import Home
with lease("tests") as server:
    database = server.create()
    one = database.rows("SELECT 1 AS one")
    print(json.dumps({"url": database.url, "name": database.name, "one": one, "uid": os.geteuid(),
                      "source": server.source, **Home.open().state()}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("GRADER_POSTGRES_PORT", "1")  # no Docker server of the developer's
        patch.delenv("DATABASE_URL", raising=False)
        yield Home.open()
        down(force=True, erase=True)


@pytest.fixture
def home(module_home: Home) -> Iterator[Home]:
    """A stopped server's home; the cluster is kept from test to test, because making one takes a second."""
    yield module_home
    down(force=True)


@pytest.fixture
def fresh_home(tmp_path: Path, module_home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that never had a server."""
    assert module_home.folder.exists()  # its settings of the environment hold here too
    monkeypatch.setenv("GRADER_HOME", str(tmp_path / "home"))
    yield Home.open()
    if (tmp_path / "home").is_dir():
        down(force=True, erase=True)


class Grader:
    """Another grader with a lease and a database, until its input ends."""

    def __init__(self, python: str = sys.executable, **how: Any) -> None:
        self.process = subprocess.Popen(
            [python, "-c", GRADER], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how
        )

    def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = json.loads(self.process.stdout.readline())
        assert line["one"] == [{"one": 1}]
        return dict(line)

    def kill(self) -> None:
        self.process.kill()
        self.leave()

    def leave(self) -> int:
        self.process.communicate()
        return self.process.returncode


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it comes true: processes that are not our children report their end to nobody."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def names(state: dict[str, Any]) -> tuple[int, int]:
    return state["supervisor"], state["postmaster"]


@WITH_PROC
def test_a_killed_party_leaves_no_orphan_and_the_next_lease_works(home: Home) -> None:
    with lease("first") as server:
        kept = server.create()
        supervisor, postmaster = names(home.state())
        data = Path(home.state()["data"])

        other = Grader()
        named = other.said()["name"]
        other.kill()
        assert eventually(lambda: len(status().leases) == 1)
        assert alive(postmaster)

        os.kill(supervisor, signal.SIGKILL)
        assert eventually(lambda: not alive(postmaster))
        assert eventually(lambda: not processes.processes_in(data))
        with pytest.raises(EnvironmentFault) as fault:
            kept.rows("SELECT 1")
        assert fault.value.slug == "database-lost"
        with pytest.raises(EnvironmentFault) as fault:
            server.create()
        assert fault.value.slug == "database-lost"

    with lease("after the supervisor") as server:
        assert server.source == "embedded"
        server.create()
        assert eventually(lambda: _gone(server._connection, named))
        supervisor, postmaster = names(home.state())
        os.kill(postmaster, signal.SIGKILL)
        assert eventually(lambda: not alive(supervisor))
        assert eventually(lambda: not processes.processes_in(data))

    with lease("after the server") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]
        supervisor, postmaster = names(home.state())
        os.kill(supervisor, signal.SIGKILL)
        os.kill(postmaster, signal.SIGKILL)
        assert eventually(lambda: not processes.processes_in(data))

    with lease("after both") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]


def _gone(connection: Any, database: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is None


def test_a_session_that_computes_does_not_block_the_next_start(home: Home) -> None:
    """Only some sessions notice at once that their server was killed."""
    with lease("first") as server:
        data = Path(home.state()["data"])
        busy = subprocess.Popen(
            [sys.executable, "-c", BUSY, server.create().url], stderr=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"computing\n"
        os.kill(home.state()["postmaster"], signal.SIGKILL)
    with lease("second") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]
    busy.communicate()
    assert data.exists()


BUSY = """
import sys, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as c:
    c.execute("SET statement_timeout = 0")
    print("computing", flush=True)
    c.execute("SELECT count(*) FROM generate_series(1, 1000000000) a")
"""


def test_eight_graders_at_once_share_one_server(fresh_home: Home) -> None:
    graders = [Grader() for _ in range(8)]
    said = [grader.said() for grader in graders]
    assert len({names(line) for line in said}) == 1
    assert len({line["name"] for line in said}) == 8
    assert sorted(line["source"] for line in said) == ["embedded"] + ["running"] * 7
    assert {grader.leave() for grader in graders} == {0}
    assert fresh_home.state()


def supervisor_without_a_grader(**how: Any) -> subprocess.Popen[bytes]:
    """What is left of a grader that was killed while it waited for its server."""
    argv = [sys.executable, "-m", "grader.services.postgres.supervisor"]
    return subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, **how)


def reported(orphan: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The server that it started or found; it has decided which when this returns."""
    with orphan:
        assert orphan.stdout is not None
        return dict(json.loads(orphan.stdout.readline()))


def test_a_server_started_for_a_killed_grader_serves_the_next(home: Home) -> None:
    orphans = [supervisor_without_a_grader() for _ in range(2)]
    with lease("next") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]
        assert held(home.supervisor_lock)
        serving = home.state()["supervisor"]
    assert [reported(orphan)["supervisor"] for orphan in orphans] == [serving, serving]
    assert home.state()["supervisor"] == serving


def test_a_supervisor_behind_another_ends_with_its_grader(home: Home) -> None:
    """It would start a server for nobody when the first one is asked to stop."""
    lives, its_end = os.pipe()
    with locked(home.supervisor_lock):
        second = supervisor_without_a_grader(pass_fds=[its_end])
        os.close(its_end)
        assert second.stdout is not None
        second.stdout.close()
        assert second.wait() == 0  # it left for the background
        assert os.read(lives, 1) == b""  # and ended there
    os.close(lives)
    assert home.state() == {}


@WITH_PROC
def test_a_supervisor_killed_while_making_the_cluster_leaves_no_half_of_it(home: Home) -> None:
    with lease("first"):
        place = Path(home.place()["cluster"])
    down(force=True)
    (place / "complete").unlink()  # what is missing when it was killed before the last step
    (place / "data" / "pg_hba.conf").write_text("local all all trust\n")
    with lease("second") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]
    assert "trust" not in (place / "data" / "pg_hba.conf").read_text()


def test_an_idle_server_stops_by_itself(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADER_POSTGRES_IDLE", "0.2")
    with lease("short") as server:
        database = server.create()
        supervisor, postmaster = names(home.state())
        assert not eventually(lambda: not alive(postmaster), seconds=0.6)  # held by the lease alone
        assert database.size_bytes() > 0
    assert eventually(lambda: not alive(postmaster) and not alive(supervisor))
    assert status().running is False


@WITH_PROC
def test_a_removed_home_stops_the_server_and_frees_its_memory(fresh_home: Home) -> None:
    with lease("short"):
        supervisor, postmaster = names(fresh_home.state())
        place = Path(fresh_home.place()["cluster"])
    assert place.exists()
    shutil.rmtree(fresh_home.folder.parent)
    assert eventually(lambda: not alive(supervisor) and not alive(postmaster))
    assert not place.exists()


def test_a_corrupted_cluster_is_rebuilt(home: Home) -> None:
    with lease("first"):
        control = Path(home.state()["data"]) / "global" / "pg_control"
    down(force=True)
    control.write_bytes(bytes(control.stat().st_size))
    with lease("second") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]


def test_a_cluster_with_another_password_is_rebuilt(home: Home) -> None:
    with lease("first"):
        pass
    down(force=True)
    home.password.write_text("something else")
    with lease("second") as server:
        assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]


def test_a_stale_lock_file_of_the_server_is_no_obstacle(home: Home) -> None:
    with lease("first"):
        data = Path(home.state()["data"])
    down(force=True)
    made = (data / "PG_VERSION").stat().st_ino
    server_user = engine.Account(engine.SERVER_UID, engine.SERVER_UID).child() if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **server_user) as somebody:  # got the number of the dead server
        (data / "postmaster.pid").write_text(f"{somebody.pid}\n{data}\n0\n5432\n/tmp\n\n  0 0\nready\n")
        with lease("second") as server:
            assert server.create().rows("SELECT 1 AS one") == [{"one": 1}]
        assert somebody.poll() is None
        assert (data / "PG_VERSION").stat().st_ino == made  # the cluster was not thrown away for it
        somebody.kill()


def test_a_taken_port_is_tried_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], postmaster.free_port()])
        monkeypatch.setattr(postmaster, "free_port", lambda: next(ports))
        programs, copied = engine.ready(None)
        place = cluster.settle(home, programs, copied)
        server = postmaster.start(home, programs, place)
        try:
            assert server.port != taken.getsockname()[1]
            assert next(ports, None) is None
        finally:
            postmaster.stop(server)


def test_the_password_is_private_and_the_socket_path_short(fresh_home: Home) -> None:
    fresh_home.folder.parent.mkdir(exist_ok=True)
    deep = fresh_home.folder.parent / ("d" * 120)
    deep.mkdir()
    programs = engine.Engine(Path("bin"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADER_POSTGRES_DATA", str(deep))
        place = cluster.settle(fresh_home, programs, None)
    assert place.data.is_relative_to(deep)
    assert len(os.fsencode(place.sockets / ".s.PGSQL.65535")) < 104
    cluster._write_private(fresh_home.password, "secret")
    assert fresh_home.password.stat().st_mode & 0o777 == 0o600
    fresh_home.erase()
    assert not place.sockets.exists()


def test_without_memory_folders_the_cache_is_used(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert choose_parent([tmp_path / "absent"], [disk], other_user=False) == disk
    with pytest.raises(EnvironmentFault) as fault:
        choose_parent([], [tmp_path / "absent"], other_user=False)
    assert fault.value.slug == "cache-read-only"


def test_a_folder_closed_to_others_is_not_chosen_for_another_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    open_to_all = Path(tempfile.gettempdir())
    assert choose_parent([], [closed, open_to_all], other_user=True) == open_to_all
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("GRADER_HOME", str(file / "home"))
    monkeypatch.setenv("GRADER_POSTGRES_PORT", "1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(EnvironmentFault) as fault, lease():
        pass
    assert fault.value.slug == "cache-read-only"
    assert str(file) in fault.value.what


def test_a_full_disk_is_named(fresh_home: Home, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    script = "#!/bin/sh\necho 'initdb: error: could not write file: No space left on device' >&2\nexit 1\n"
    (programs / "initdb").write_text(script)
    (programs / "initdb").chmod(0o755)
    (tmp_path / "run").mkdir()
    place = cluster.Place(tmp_path / "data", tmp_path / "run")
    with pytest.raises(EnvironmentFault) as fault:
        cluster.create(fresh_home, engine.Engine(programs), place)
    assert fault.value.slug == "disk-full"
    assert not place.data.exists()


def test_without_an_engine_the_command_that_helps_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PROVIDERS", ())
    with pytest.raises(EnvironmentFault) as fault, lease():
        pass
    assert fault.value.slug == "no-database"
    assert "docker compose up -d --wait" in fault.value.mend
    assert home.state() == {}


def test_a_cpu_that_cannot_run_pgvector_is_named(home: Home) -> None:
    with lease() as server, server._endpoint.connect("tests") as connection:
        postmaster.self_test(connection)
        with pytest.raises(EnvironmentFault) as fault:
            postmaster.self_test(connection, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert fault.value.slug == "cpu-too-old"
    assert home.state()


def test_a_pipe_stops_the_server_where_the_kernel_does_not() -> None:
    with subprocess.Popen(["sleep", "60"]) as server:
        watcher = processes.watch_over(server.pid)
        assert watcher.stdin is not None
        watcher.stdin.close()  # what the end of the supervisor does
        assert server.wait() == -signal.SIGINT
        watcher.wait()


@AS_ROOT
def test_an_unreadable_engine_is_copied_and_no_parent_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = engine.installed()
    assert programs is not None
    package = programs.parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        (closed / name).symlink_to(package.parent / name)
    hidden = closed / package.name / programs.parent.name / "bin"
    monkeypatch.setattr(engine, "installed", lambda: hidden)
    # A symlink is followed by its own rights: the folder above the programs is what keeps the server's user out.
    ready, copied = engine.ready(None)
    assert copied is not None
    try:
        assert ready.programs.is_relative_to(copied)
        assert closed.stat().st_mode & 0o777 == 0o700
        assert engine.ready(copied) == (ready, copied)
    finally:
        shutil.rmtree(copied)


@AS_ROOT
@WITH_PROC
def test_an_ordinary_user_runs_its_own_server() -> None:
    nobody = pwd.getpwnam("nobody")
    user: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    python = _python_for(user, packages)
    folder = Path(tempfile.mkdtemp(prefix="grader-test-"))
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    environment = {"PATH": os.defpath, "GRADER_HOME": str(home), "GRADER_POSTGRES_PORT": "1", "HOME": str(home)}
    environment["PYTHONPATH"] = packages
    try:
        grader = Grader(python, env=environment, **user)
        said = grader.said()
        assert said["uid"] == nobody.pw_uid
        assert Path(f"/proc/{said['postmaster']}").stat().st_uid == nobody.pw_uid
        assert grader.leave() == 0
        os.kill(said["supervisor"], signal.SIGTERM)
        assert eventually(lambda: not alive(said["supervisor"]))
    finally:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GRADER_HOME", str(home))
            for place in Home.open().place().values():
                shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(folder)


def _python_for(user: dict[str, Any], packages: str) -> str:
    """An interpreter that the user may run and that can import what the grader needs: ours may lie under /root."""
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            subprocess.run(
                [python, "-c", "import psycopg, grader.errors"],
                cwd=REPOSITORY,
                env={"PATH": os.defpath, "PYTHONPATH": packages},
                capture_output=True,
                check=True,
                **user,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no interpreter here that an ordinary user may run")
