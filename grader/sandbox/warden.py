"""A process that starts learners' programs, warm where it can, and kills what they leave behind.

One warden imports the lab's libraries once. For each run that connects it forks a keeper, and the keeper forks the
programs: a Python program starts in milliseconds because its libraries are there already, any other argv is executed.
A keeper is the subreaper of everything that its programs start, however often that forks away; when the run closes
its connection (or dies) the keeper kills every descendant and exits. It runs as `python -I -m grader.sandbox.warden`,
holds no checks and no secrets, and never reads a verdict.

Wire: one JSON object per line over a Unix stream socket. The run sends `{"start": {argv, environment, folder,
limits}}` with the three standard streams as descriptors, the keeper answers `{"pid": n}` or `{"error": text}` and
later `{"exited": pid, "status": wait status}`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import importlib
import json
import os
import random
import resource
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

MESSAGE_BYTES = 256 * 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_RESET = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(argv: list[str]) -> NoReturn:
    """Serve runs on the listening socket `argv[1]` until descriptor `argv[0]`, the starter's life line, closes."""
    lifeline, listener = int(argv[0]), socket.socket(fileno=int(argv[1]))
    _become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the grader's to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the life line says when to end, and then in order
    for name in argv[2:]:
        _import_quietly(name)
    listener.setblocking(False)
    keepers: set[int] = set()
    wake, wake_write = _wake_on_signals()
    while True:
        ready, _, _ = select.select([lifeline, listener.fileno(), wake], [], [])
        if lifeline in ready:
            for pid in keepers:
                _signal(pid, signal.SIGTERM)
            _kill_descendants(spare=keepers)
            os._exit(0)
        if wake in ready:
            os.read(wake, 4096)
            keepers -= {pid for pid, _ in _reap()}
            _kill_orphans(keepers)
        if listener.fileno() in ready:
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                os.close(wake)
                os.close(wake_write)
                os.close(lifeline)
                listener.close()
                _keep(connection)
            keepers.add(pid)
            connection.close()


def _keep(connection: socket.socket) -> NoReturn:
    """Serve one run: start programs, report their ends, kill everything when the run goes."""
    _become_subreaper()
    wake, _ = _wake_on_signals()
    signal.signal(signal.SIGTERM, lambda *_: None)
    _die_with_parent(signal.SIGTERM)  # in order: what its programs have forked away dies too
    children: set[int] = set()
    stopping = False
    while not stopping:
        ready, _, _ = select.select([connection.fileno(), wake], [], [])
        if wake in ready:
            # The only other signal that wakes a keeper is SIGTERM: the warden's, or that of its death.
            stopping = signal.SIGTERM in os.read(wake, 4096)
            for pid, status in _reap():
                if pid in children:
                    children.discard(pid)
                    _send(connection, {"exited": pid, "status": status})
        if connection.fileno() in ready:
            message, streams = _receive(connection)
            if message is None:
                break
            children.update(_start(connection, message, streams))
    _kill_descendants(spare=set())
    os._exit(0)


def _start(connection: socket.socket, message: dict[str, Any], streams: list[int]) -> list[int]:
    try:
        pid = os.fork()
    except OSError as error:
        _send(connection, {"error": f"cannot fork: {error.strerror}"})
        pid = -1
    if pid == 0:
        _become(message["start"], streams)
    for stream in streams:
        os.close(stream)
    if pid > 0:
        _send(connection, {"pid": pid})
        return [pid]
    return []


def _become(start: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the child: turn into the learner's program."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.setsid()
        _die_with_parent(signal.SIGKILL)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0] if sys.platform == "darwin" else 65536)
        os.chdir(start["folder"])
        os.environ.clear()
        os.environ.update(start["environment"])
        for name, value in start["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        argv = start["argv"]
        if not _is_plain_python(argv):
            os.execvpe(argv[0], argv, dict(os.environ))  # noqa: S606 - argv list, no shell: this is the point
    except BaseException as error:  # noqa: BLE001 - a half-made child must never run the keeper's code
        os.write(2, f"cannot start {start.get('argv')}: {error}\n".encode())
        os._exit(127)
    _run_python(argv)


def _is_plain_python(argv: list[str]) -> bool:
    """Whether argv is `python -m module …` or `python file.py …` of this very interpreter: those run warm."""
    return len(argv) > 1 and argv[0] == sys.executable and (argv[1] == "-m" or not argv[1].startswith("-"))


def _run_python(argv: list[str]) -> NoReturn:
    """Run `python …` in this forked, warm interpreter as if it had just been started."""
    sys.stdin, sys.stdout, sys.stderr = (
        open(0, encoding="utf-8", closefd=False),  # noqa: SIM115 - lives as long as the process
        open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),  # noqa: SIM115
        open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),  # noqa: SIM115
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    random.seed()  # else every fork would draw the same numbers
    code = 0
    try:
        if argv[1] == "-m":
            sys.argv = [argv[2], *argv[3:]]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv[1:]
            sys.path.insert(0, str(Path(argv[1]).resolve().parent))
            runpy.run_path(argv[1], run_name="__main__")
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
        if isinstance(leave.code, str):
            sys.stderr.write(leave.code + "\n")
    except BaseException:  # noqa: BLE001 - as the interpreter does: print it and exit 1
        _print_own_traceback()
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter does at exit
        atexit._run_exitfuncs()  # noqa: SLF001 - as above
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def _print_own_traceback() -> None:
    """Print the traceback from the learner's first frame on: the frames above it are ours."""
    kind, error, frames = sys.exc_info()
    while frames and Path(frames.tb_frame.f_code.co_filename).name in (Path(__file__).name, "<frozen runpy>"):
        frames = frames.tb_next
    traceback.print_exception(kind, error, frames)


def _import_quietly(name: str) -> None:
    """Import a library ahead of time; one that is missing is the program's to miss."""
    with contextlib.suppress(ImportError):
        importlib.import_module(name)


def _receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """One line and the descriptors that came with it; (None, …) when the run has gone."""
    line = b""
    streams = array.array("i")
    while not line.endswith(b"\n"):
        try:
            data, ancillary, _, _ = connection.recvmsg(MESSAGE_BYTES, socket.CMSG_LEN(3 * 4))
        except OSError:
            return None, []
        if not data:
            return None, list(streams)
        line += data
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                streams.frombytes(payload[: len(payload) // 4 * 4])
    return json.loads(line), list(streams)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the run is gone; the next read says so and everything is killed
        connection.sendall(json.dumps(message).encode() + b"\n")


def _wake_on_signals() -> tuple[int, int]:
    """A pipe that a `select` wakes from when a child ends; each signal writes its number."""
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake, wake_write


def _reap() -> list[tuple[int, int]]:
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def _kill_orphans(keepers: set[int]) -> None:
    """Kill what a keeper that was killed has left to us: children that are no keepers, and theirs."""
    while orphans := _children() - keepers:
        for pid in orphans:
            _signal(pid, signal.SIGKILL)
        select.select([], [], [], 0.005)
        keepers -= {pid for pid, _ in _reap()}


def _children() -> set[int]:
    """Our children, from the kernel's own list: psutil must not be in a program's memory before its fork."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(map(int, path.read_text().split()))
    return found


def _kill_descendants(spare: set[int]) -> None:
    """SIGKILL every descendant but `spare`, until none is left: children may fork while we look."""
    import psutil  # noqa: PLC0415 - only at the end, and never in a program's memory before its fork

    for _ in range(200):
        targets = [child for child in psutil.Process().children(recursive=True) if child.pid not in spare]
        if not targets:
            break
        for child in targets:
            _signal(child.pid, signal.SIGKILL)
        _reap()
        select.select([], [], [], 0.005)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_parent(number: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, number)


def _become_subreaper() -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


if __name__ == "__main__":
    main(sys.argv[1:])
