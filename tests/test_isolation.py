"""Programs work at every level that this machine has, and none of them gets out of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest

from grader.checking.program import Program, ProgramCrashed, Recipe, base_environment
from grader.checking.within_reach import elsewhere, moved
from grader.lab import read_lab
from grader.run import Request, check_lab
from grader.sandbox import Isolation, Launcher, Level, Limits, Reach, Relay, Running
from grader.sandbox.attack import attack
from tests import programs
from tests.conftest import GradeProgram

LEVELS = (Level.PROCESS, Level.SEATBELT, Level.LANDLOCK, Level.BUBBLEWRAP)
CONFINED = LEVELS[1:]


@cache
def _why_not(level: Level) -> str:
    """Why this machine does not have a level; "" where it has."""
    return "" if level is Level.PROCESS else "; ".join(attack(level).weak)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    """Each level that this machine has."""
    if why := _why_not(request.param):
        pytest.skip(f"this machine has no {request.param}: {why}")
    found: Level = request.param
    return found


@pytest.fixture
def confined(level: Level) -> Level:
    """Each level of this machine that keeps programs in."""
    if level is Level.PROCESS:
        pytest.skip("this level keeps nothing in")
    return level


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The one folder of a program."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        if os.geteuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o011)  # a throw-away user walks through it
    home = tmp_path / "home"
    home.mkdir()
    return home


class Starter:
    """Starts programs of one level in one folder."""

    def __init__(self, launcher: Launcher, home: Path) -> None:
        self.launcher = launcher
        self.home = home

    def python(self, source: str, *, limits: Limits = Limits(), connect: tuple[int, ...] = ()) -> Running:  # noqa: B008
        """Start a Python program given as text."""
        (self.home / "program.py").write_text(source, "utf-8")
        return self.argv(sys.executable, "program.py", limits=limits, connect=connect)

    def argv(self, *argv: str, limits: Limits = Limits(), connect: tuple[int, ...] = ()) -> Running:  # noqa: B008
        """Start any program."""
        return self.launcher.start(
            argv,
            environment=base_environment(self.home),
            folder=self.home,
            limits=limits,
            reach=Reach(self.home, connect=connect),
        )

    def said(self, running: Running, seconds: float = 60) -> str:
        """What it printed until its end, which must come in time and be a good one."""
        code = running.wait(seconds)
        words = running.last_words()
        assert code == 0, words
        return words


@pytest.fixture
def start(level: Level, home: Path, warden: str) -> Iterator[Starter]:
    """Starts programs at each level."""
    launcher = Launcher(warden, level=level)
    yield Starter(launcher, home)
    launcher.close()


def test_a_right_program_gets_all_points_at_every_level(grade: GradeProgram, level: Level) -> None:
    result = grade(programs.RIGHT, level=level)
    assert (result.score.shown, result.exit_code, result.isolation.level) == ("100", 0, level)


@pytest.mark.parametrize("folder", ["lab-02-ledger", "lab-03-adder", "lab-04-clerk", "lab-05-desk", "lab-06-suite"])
def test_every_kind_of_program_works_at_every_level(folder: str, level: Level, course: Path, warden: str) -> None:
    lab = read_lab(course, folder)
    request = Request(
        lab, lab.solutions / "reference", "reference", 3, isolation=Isolation.chosen(level), warden=warden
    )
    result = check_lab(request, lambda _event: None)
    assert [(item.check.name, item.failure) for item in result.checks if item.failure] == []


def test_what_programs_of_a_lab_need_works_at_every_level(start: Starter) -> None:
    source = """
import asyncio, concurrent.futures, hashlib, pathlib, socket, sqlite3, ssl, subprocess, sys, tempfile, threading
import zoneinfo  # an import that nobody made before the fork
ssl.create_default_context()
assert subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout == "42\\n"
assert subprocess.run("echo $((6 * 7))", shell=True, capture_output=True, text=True).stdout == "42\\n"
child = subprocess.Popen(["sleep", "60"])
child.terminate()
assert child.wait() == -15
assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(int, "1234")) == 10
with tempfile.TemporaryDirectory() as folder:
    (pathlib.Path(folder) / "a").write_text("written")
    sqlite3.connect(pathlib.Path(folder) / "b").execute("create table t (n int)")
assert socket.getaddrinfo("localhost", 80)
assert zoneinfo.ZoneInfo("UTC")
assert pathlib.Path("/proc/self/status").read_text()
print("all of it")
"""
    assert start.said(start.python(source)) == "all of it\n"


_NODE = """
const http = require("http"), { execFileSync } = require("child_process"), os = require("os");
const answer = execFileSync(process.execPath, ["-e", "console.log(42)"]).toString().trim();
http.createServer((request, reply) => reply.end(JSON.stringify({ answer, cpus: os.cpus().length > 0 })))
  .listen(process.env.PORT, "127.0.0.1");
"""
_JAVA = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Main {
    public static void main(String[] arguments) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(System.getenv("PORT"))), 0);
        server.createContext("/", exchange -> {
            var body = "{\\"answer\\": \\"42\\", \\"cpus\\": true}".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
"""


@pytest.mark.parametrize(("argv", "source"), [
    (("node", "main.js"), _NODE),
    (("java", "-XX:TieredStopAtLevel=1", "Main.java"), _JAVA),
])  # fmt: skip
def test_other_languages_work_at_every_level(
    argv: tuple[str, ...], source: str, level: Level, home: Path, warden: str
) -> None:
    if not shutil.which(argv[0]) or (argv[0] == "java" and not shutil.which("javac")):
        pytest.skip(f"there is no {argv[0]} here")
    (home / argv[-1]).write_text(source, "utf-8")
    launcher = Launcher(warden, level=level)
    recipe = Recipe(argv, home, base_environment(home), Limits(memory_mb=4096), ready="/", ready_seconds=60, own=home)
    program = Program(launcher, recipe, seconds=20)
    assert program.get("/").json() == {"answer": "42", "cpus": True}
    program.close()
    launcher.close()


_CURIOUS = """
import json, os, socket, sys
told = json.loads(sys.argv[1]) if len(sys.argv) > 1 else json.load(open("told.json"))
got = []
def tries(what, attempt):
    try:
        got.append([what, str(attempt())[:80]])
    except Exception:
        pass
def listing(path):
    found = os.listdir(path)
    if not found:
        raise FileNotFoundError
    return found
for path in told["files"]:
    tries(f"reads {path}", lambda: open(path, "rb").read(1) or "read")
for path in told["folders"]:
    tries(f"writes to {path}", lambda: open(path + "/by-the-program", "w").close())
for port in told["ports"]:
    tries(f"calls {port}", lambda: socket.create_connection(("127.0.0.1", port), 1).recv(1))
tries("imports the grader", lambda: __import__("grader.checks"))
print(json.dumps(got))
"""


def test_no_confined_program_reads_or_writes_what_is_ours(start: Starter, confined: Level, tmp_path: Path) -> None:
    package = Path(sys.modules["grader"].__file__ or "").parent
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o644)
    told = {
        "files": [
            str(package / "run.py"), str(package / "checks" / "lab_07" / "facts.py"), str(package.parent / "README.md"),
            str(tmp_path / "secret"), "/etc/shadow", f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/maps",
        ],
        "folders": [str(tmp_path), str(package), sys.prefix, "/", "/usr", "/var/tmp", "/proc/sys/kernel"],
        "ports": [listener.getsockname()[1]],
    }  # fmt: skip
    (start.home / "told.json").write_text(json.dumps(told))
    with listener:
        got = json.loads(start.said(start.python(_CURIOUS)))
    # A box has folders of its own by some of these names: what counts is whether anything came of it outside.
    written = [folder for folder in told["folders"] if Path(str(folder), "by-the-program").exists()]
    assert ([what for what, _ in got if not what.startswith("writes")], written) == ([], [])
    assert confined


def test_a_confined_program_calls_what_it_was_promised(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as asked:
                connection.sendall(b"heard " + asked.read())

        threading.Thread(target=answer, daemon=True).start()
        source = f"""
import socket
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(b"x" * 1_000_000)
    connection.shutdown(socket.SHUT_WR)
    print(len(connection.makefile("rb").read()))
"""
        assert start.said(start.python(source, connect=(port,))) == "1000006\n"


def test_a_broken_connection_arrives_broken(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        source = f"""
import socket
with socket.create_connection(("127.0.0.1", {port})) as connection:
    connection.sendall(b"?")
    try:
        print(connection.recv(1))
    except ConnectionResetError:
        print("reset")
"""
        assert start.said(start.python(source, connect=(port,))) == "reset\n"


def _overrun(running: Running) -> str:
    running.wait(60)
    assert running.overrun is not None, running.last_words()
    return running.overrun.slug


def test_memory_of_all_its_processes_is_bounded(start: Starter) -> None:
    source = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        held = b"x" * 60_000_000
        time.sleep(60)
time.sleep(60)
"""
    assert _overrun(start.python(source, limits=Limits(memory_mb=256))) == "memory-limit"


def test_its_folder_is_bounded(start: Starter) -> None:
    source = """
import time
for number in range(64):
    with open(f"file-{number}", "wb") as file:
        file.write(b"x" * 1_000_000)
time.sleep(60)
"""
    assert _overrun(start.python(source, limits=Limits(disk_mb=32))) == "disk-limit"


def test_the_number_of_its_files_is_bounded(start: Starter) -> None:
    source = "import time\nfor number in range(500):\n    open(f'file-{number}', 'w').close()\ntime.sleep(60)"
    assert _overrun(start.python(source, limits=Limits(files=300))) == "file-limit"


def test_its_processes_are_bounded(start: Starter) -> None:
    source = """
import os, time
for _ in range(100):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    except OSError:
        break
else:
    time.sleep(60)
print("no more")
"""
    running = start.python(source, limits=Limits(processes=40))
    running.wait(60)
    assert running.overrun is not None or running.last_words() == "no more\n"


def test_an_overrun_is_named_with_its_value(grade: GradeProgram, level: Level, course: Path) -> None:
    lab_file = course / "labs" / "lab-01-echo" / "lab.toml"
    text = lab_file.read_text("utf-8")
    assert "memory_mb = " in text
    source = programs.service(before_serving="held = [bytearray(10_000_000) for _ in range(200)]")
    result = grade(source, level=level, only=("echoes_text",))
    failure = result.checks[0].failure
    assert failure is not None
    assert "MemoryError" in failure.detail or "memory-limit" in failure.message


def test_nothing_of_a_program_outlives_it(start: Starter) -> None:
    source = """
import os, signal, sys, time
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(write, b"x")
        os.execlp("sleep", "sleep", "4711.25")
    os._exit(0)
os.read(read, 1)
"""
    start.said(start.python(source))
    start.launcher.close()
    left = [process for process in psutil.process_iter(["cmdline"]) if "4711.25" in (process.info["cmdline"] or [])]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert alive == []


def test_a_program_that_cannot_be_confined_is_never_started(
    home: Path, warden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grader.errors import GraderFault
    from grader.sandbox import launcher as module

    monkeypatch.setattr(module, "bwrap", lambda: "/bin/false")
    if not Path("/proc").exists():
        pytest.skip("boxes are Linux's")
    launcher = Launcher(warden, level=Level.BUBBLEWRAP)
    with pytest.raises(GraderFault, match="cannot be confined at level 'bubblewrap'"):
        Starter(launcher, home).python("open('ran', 'w')")
    assert not (home / "ran").exists()
    launcher.close()


def test_a_crash_for_want_of_rights_says_what_is_allowed(home: Path, warden: str, confined: Level) -> None:
    (home / "program.py").write_text("open('/usr/by-the-program', 'w')")
    launcher = Launcher(warden, level=confined)
    recipe = Recipe((sys.executable, "program.py"), home, base_environment(home), Limits(), own=home)
    with pytest.raises(ProgramCrashed) as crash:
        Program(launcher, recipe, seconds=5)
    assert "It may write in its own folders" in crash.value.hint
    launcher.close()


def test_a_box_has_an_end_when_its_keeper_is_killed(start: Starter, confined: Level) -> None:
    running = start.python("import time\nprint('up', flush=True)\ntime.sleep(600)")
    program = psutil.Process(running.pid)
    while "up" not in running.output.text():
        assert running.wait(0.01) is None
    keeper = program.parent()
    while keeper is not None and not _is_keeper(keeper):
        keeper = keeper.parent()
    assert keeper is not None
    keeper.kill()
    _, alive = psutil.wait_procs([program], timeout=5)
    assert alive == []
    assert confined


def _is_keeper(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "grader.sandbox.warden" in parent.cmdline() and parent.ppid() == os.getpid()


def test_the_attack_itself_gets_through_where_nothing_stops_it() -> None:
    if subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make namespaces, so that one attempt fails everywhere")
    through = attack(Level.PROCESS).weak
    assert {"reads the checks", "reads the user's home", "signals another process"} <= set(through)
    assert len(through) == 11, "every attempt works when nothing is in its way: else it would prove nothing"


@pytest.mark.parametrize(("url", "moves_to"), [
    ("postgresql://me:a%40b@db.example:6000/d", "postgresql://me:a%40b@127.0.0.1:9/d"),
    ("postgresql://me:x@/d?host=/run/pg&port=6000", "postgresql://me:x@127.0.0.1:9/d"),
    ("postgresql://me:x@[fe80::1]/d?sslmode=verify-full", "postgresql://me:x@127.0.0.1:9/d?sslmode=verify-ca"),
    ("postgresql://me:x@127.0.0.1:5432/d", None),
    ("postgresql://me:x@localhost:5432/d?sslmode=disable", None),
])  # fmt: skip
def test_a_database_elsewhere_comes_within_reach(url: str, moves_to: str | None) -> None:
    assert (elsewhere(url) is None) == (moves_to is None)
    if moves_to:
        assert moved(url, 9) == moves_to


def test_a_database_behind_a_socket_file_is_called_over_tcp(start: Starter, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello " + connection.recv(100))

        threading.Thread(target=answer, daemon=True).start()
        connect = elsewhere(f"postgresql://me:x@/d?host={tmp_path}")
        assert connect is not None
        relay = Relay(connect)
        source = f"""
import socket
with socket.create_connection(("127.0.0.1", {relay.port})) as connection:
    connection.sendall(b"you")
    print(connection.recv(100).decode())
"""
        assert start.said(start.python(source, connect=(relay.port,))) == "hello you\n"
        relay.close()
