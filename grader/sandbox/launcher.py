"""The grader's side of the warden: start a program, keep the end of its output, learn how it ended, kill it."""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from grader.errors import EnvironmentFault, GraderFault
from grader.sandbox.levels import Level

FLOOD_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one program: private memory in MiB, what is kept of each output stream in KiB."""

    memory_mb: int = 2048
    output_kb: int = 64
    open_files: int = 1024
    file_mb: int = 256

    def as_rlimits(self) -> dict[str, int]:
        """Names and values for `setrlimit` in the child."""
        limits = {
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_FSIZE": self.file_mb * 2**20,
        }
        if sys.platform == "linux":  # elsewhere RLIMIT_DATA does not count mapped memory
            limits["RLIMIT_DATA"] = self.memory_mb * 2**20
        return limits


class Output:
    """The tail of what a program printed, stdout and stderr as they came."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._tail = bytearray()
        self._lock = threading.Lock()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Append, dropping the oldest bytes over the limit."""
        with self._lock:
            self.total += len(data)
            self._tail += data
            if len(self._tail) > self._keep:
                del self._tail[: len(self._tail) - self._keep]

    def text(self, since: int = 0) -> str:
        """The kept tail of what came after the first `since` bytes; undecodable bytes are shown escaped."""
        with self._lock:
            fresh = min(len(self._tail), self.total - since)
            return bytes(self._tail[len(self._tail) - fresh :]).decode("utf-8", "backslashreplace")


class Running:
    """A started program.

    Attributes:
        pid: its process id, which is also its session and process group.
        output: the tail of stdout and stderr together.
        flooded: it was killed for printing more than 8 MiB.
    """

    def __init__(self, pid: int, output: Output) -> None:
        self.pid = pid
        self.output = output
        self.flooded = False
        self._ended = threading.Event()
        self._drained = threading.Event()
        self._status = 0

    @property
    def alive(self) -> bool:
        """Whether the program itself still runs (its children may, even when it does not)."""
        return not self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """Exit status as `subprocess` gives it (negative: killed by that signal); None while it runs."""
        return os.waitstatus_to_exitcode(self._status) if self._ended.is_set() else None

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; None when it still runs after `seconds`."""
        self._ended.wait(seconds)
        return self.exit_code

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing happens when it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL its process group and wait until the kernel has taken it down."""
        self.signal(signal.SIGKILL)
        self._ended.wait(10)

    def drained(self) -> None:
        """Told by the reader of its output: nobody holds the writing end any more."""
        self._drained.set()

    def last_words(self) -> str:
        """The kept tail of what an ended program printed, once it is read; what it forked may go on printing."""
        self._drained.wait(1)
        return self.output.text()

    def ended(self, status: int) -> None:
        """Told by the launcher: the raw wait status."""
        self._status = status
        self._ended.set()


class Warden:
    """A running warden process; `path` is where runs connect."""

    def __init__(self, folder: Path, warm: Sequence[str] = ()) -> None:
        self.path = str(folder / "warden")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.path)
        except OSError as error:
            raise EnvironmentFault(
                f"cannot make a socket at {self.path!r}: {error}",
                mend="Set TMPDIR to a short path (under 80 characters) that is writable.",
                slug="not-writable",
            ) from error
        listener.listen(64)
        lifeline, self._lifeline = os.pipe()
        # One thread for numerical libraries: their pools would not survive the fork.
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "grader.sandbox.warden", str(lifeline), str(listener.fileno()), *warm],
            pass_fds=(lifeline, listener.fileno()),
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
        os.close(lifeline)
        listener.close()

    def close(self) -> None:
        """End the warden and with it everything that it started."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            Path(self.path).unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Reach:
    """What a program may touch beside the libraries that it runs on.

    Attributes:
        own: the one folder that it may write to; None for the folder that it starts in.
        listen: TCP ports on which it may be asked.
        connect: TCP ports of 127.0.0.1 that it may call: its double, its database.
    """

    own: Path | None = None
    listen: tuple[int, ...] = ()
    connect: tuple[int, ...] = ()


NOTHING_ELSE = Reach()


class Launcher:
    """One run's connection to a warden; every program of the run is confined at `level`.

    Raises:
        GraderFault: the warden is gone.
    """

    def __init__(self, warden: str, *, level: Level) -> None:
        self.level = level
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(warden)
        except OSError as error:
            raise GraderFault(f"the warden does not answer: {error}", mend="Run again.", slug="warden-lost") from error
        self._replies = self._socket.makefile("r", encoding="utf-8")
        self._running: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._started = threading.Condition()
        self._answers: list[dict[str, Any]] = []
        self._early: dict[int, int] = {}
        self._lost = False
        threading.Thread(target=self._listen, name="launcher", daemon=True).start()

    def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        limits: Limits,
        reach: Reach = NOTHING_ELSE,
        streams: tuple[int, int, int] | None = None,
    ) -> Running:
        """Start a program in a session of its own with just this environment.

        Args:
            streams: its standard streams; without them it reads nothing and `output` keeps the end of what it prints.

        Raises:
            GraderFault: the warden is gone or cannot fork.
        """
        output = Output(limits.output_kb * 1024)
        request = {
            "start": {
                "argv": list(argv),
                "environment": dict(environment),
                "folder": str(folder),
                "limits": limits.as_rlimits(),
                "level": self.level,
                "own": str(reach.own or folder),
                "listen": reach.listen,
                "connect": reach.connect,
            }
        }
        if streams:
            with self._lock:
                running = Running(self._ask(request, [*streams]), output)
            running.drained()  # whoever has the streams reads them
        else:
            running = self._start_captured(request, output)
        with self._started:
            self._running[running.pid] = running
            if running.pid in self._early:
                running.ended(self._early.pop(running.pid))
        return running

    def _start_captured(self, request: dict[str, Any], output: Output) -> Running:
        read, write = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            with self._lock:
                running = Running(self._ask(request, [nothing, write, write]), output)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(nothing)
            os.close(write)
        threading.Thread(target=_pump, args=(read, running), name=f"output of {running.pid}", daemon=True).start()
        return running

    def _ask(self, request: dict[str, Any], streams: list[int]) -> int:
        with self._started:
            self._answers.clear()
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
            try:
                data = json.dumps(request).encode() + b"\n"
                sent = self._socket.sendmsg([data], rights)
                self._socket.sendall(data[sent:])
            except OSError as error:
                self._lost = True
                raise _warden_lost(str(error)) from error
            self._started.wait_for(lambda: self._answers or self._lost, timeout=60)
            answer = self._answers.pop() if self._answers else {"error": "it has gone"}
        if "pid" not in answer:
            raise _warden_lost(str(answer["error"]))
        return int(answer["pid"])

    def _listen(self) -> None:
        for message in self._messages():
            with self._started:
                if "exited" in message:
                    running = self._running.pop(message["exited"], None)
                    if running:
                        running.ended(message["status"])
                    else:
                        self._early[message["exited"]] = message["status"]
                else:
                    self._answers.append(message)
                    self._started.notify_all()
        with self._started:
            self._lost = True
            self._started.notify_all()
            for running in self._running.values():
                running.ended(signal.SIGKILL)  # the keeper kills its programs before it goes

    def _messages(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError), self._replies:
            for line in self._replies:
                yield json.loads(line)

    def lost(self) -> GraderFault | None:
        """What to say when the warden's side has gone, and every program with it; None while it is there."""
        with self._started:
            return _warden_lost("it was killed, and with it the program") if self._lost else None

    def close(self) -> None:
        """End the run's connection: the keeper kills every program and whatever it forked."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _pump(read: int, running: Running) -> None:
    """Keep the tail of a program's output until every writer has closed it; kill the program on a flood."""
    with os.fdopen(read, "rb", buffering=0) as stream:
        while data := stream.read(65536):
            running.output.add(data)
            if running.output.total > FLOOD_BYTES and not running.flooded:
                running.flooded = True
                running.signal(signal.SIGKILL)
    running.drained()


def _warden_lost(why: str) -> GraderFault:
    return GraderFault(f"the warden cannot start the program: {why}", mend="Run again.", slug="warden-lost")
