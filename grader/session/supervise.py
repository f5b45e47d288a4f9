"""Starts a checking session in a process of its own and turns whatever becomes of it into one verdict per check."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Protocol

from grader.errors import GraderError, GraderFault, Interrupted, UsageError
from grader.sandbox import Launcher, Limits
from grader.session.events import Broken, Ended, Event, Planned, SessionSpec, Started, read_events
from grader.submission import write_fault
from grader.verdict import CheckResult, Failure, PlannedCheck, Verdict

GRACE_SECONDS = 120  # beyond the lab's own seconds: starting servers, the last check's deadline, closing down
STOP_SECONDS = 10
# What a warden for sessions imports once; never for one that starts programs.
WARM = ("grader.session.warm", "bm25s")

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class SessionEnd:
    """What became of a session: the plan, a verdict for each planned check, the signal that interrupted it or 0."""

    planned: Planned
    results: tuple[CheckResult, ...]
    interrupted: int = 0


class _Process(Protocol):
    """A session's process, however it was started."""

    def wait(self, seconds: float) -> int | None: ...
    def signal(self, number: int) -> None: ...


def run_session(spec: SessionSpec, folder: Path, listen: Listener, *, warden: str = "") -> SessionEnd:
    """Run the checks of `spec` in a process of its own.

    Args:
        folder: private to this run; keeps the session's own log.
        warden: socket of a warden that has a session's modules warm, or "" to start a process from nothing.

    Raises:
        GraderFault: no checks could be planned.
        EnvironmentFault: the folder cannot be written.
        KeyboardInterrupt: passed on after the session has been stopped, when nothing was planned yet.
    """
    spec_file = folder / "session.json"
    try:
        spec.write(spec_file)
    except OSError as error:
        raise write_fault(spec_file, error) from error
    log = folder / "session.log"
    argv = [sys.executable, "-m", "grader.session.process", str(spec_file)]
    with ExitStack() as stack:
        read, process = _start(argv, log, warden, stack)
        time_is_up = threading.Event()

        def end() -> None:
            time_is_up.set()
            process.signal(SIGKILL)

        overdue = threading.Timer(spec.seconds + GRACE_SECONDS, end)
        overdue.daemon = True
        overdue.start()
        collected = _Collected()
        interrupted = 0
        try:
            with os.fdopen(read, "r", encoding="utf-8") as stream:
                for event in read_events(stream):
                    collected.add(event)
                    listen(event)
            process.wait(STOP_SECONDS)  # every verdict is in: what takes longer now is ended below
        except KeyboardInterrupt as interrupt:
            if not collected.planned.checks:
                raise
            interrupted = interrupt.number if isinstance(interrupt, Interrupted) else SIGINT
        finally:
            overdue.cancel()
            _stop(process)
    if interrupted:
        return collected.cut_short(interrupted)
    return collected.end(log, process.wait(0), time_is_up=time_is_up.is_set(), listen=listen)


def _start(argv: list[str], log: Path, warden: str, stack: ExitStack) -> tuple[int, _Process]:
    """Start the session's process; gives the reading end of its standard output too."""
    read, write = os.pipe()
    lives, lifeline = os.pipe()  # the session reads its end on standard input when we die, however we do
    stack.callback(os.close, lifeline)
    try:
        output = log.open("wb")
    except OSError as error:
        raise write_fault(log, error) from error
    with output:
        try:
            if not warden:
                return read, _Fresh(argv, lives, write, output.fileno())
            launcher = Launcher(warden, level=None)
            stack.callback(launcher.close)
            limits = Limits(memory_mb=8192, open_files=4096, file_mb=4096)
            streams = (lives, write, output.fileno())
            return read, launcher.start(argv, environment=os.environ, folder=Path("/"), limits=limits, streams=streams)
        finally:
            os.close(write)
            os.close(lives)


class _Fresh:
    """A session's process that was started from nothing."""

    def __init__(self, argv: list[str], stdin: int, stdout: int, stderr: int) -> None:
        argv = [argv[0], "-I", *argv[1:]]
        # A session of its own: Ctrl-C is ours to handle, once.
        self._process = subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=stderr, cwd="/", start_new_session=True
        )

    def wait(self, seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)


class _Collected:
    """Events of a session so far."""

    def __init__(self) -> None:
        self.planned = Planned((), {})
        self.results: dict[str, CheckResult] = {}
        self.running: str | None = None
        self.began = 0.0
        self.broken: Broken | None = None

    def add(self, event: Event) -> None:
        match event:
            case Planned():
                self.planned = event
            case Started(name):
                self.running, self.began = name, time.monotonic()
            case Ended(result):
                self.running = None
                self.results.setdefault(result.check.name, result)
            case Broken():
                self.broken = event

    def end(self, log: Path, status: int | None, *, time_is_up: bool, listen: Listener) -> SessionEnd:
        """Every planned check with a verdict; those that the session left open get one here."""
        if not self.planned.checks:
            raise _no_plan(self.broken, log, status)
        for check in self.planned.checks:
            if check.name not in self.results:
                result = self._left_open(check, log, status, time_is_up=time_is_up)
                self.results[check.name] = result
                listen(Ended(result))
        return SessionEnd(self.planned, tuple(self.results[check.name] for check in self.planned.checks))

    def cut_short(self, number: int) -> SessionEnd:
        """The verdicts so far; what was not run says so, and nobody hears of it line by line."""
        failure = Failure("not run: the run was interrupted")
        results = (
            self.results.get(check.name, CheckResult(check, Verdict.BLOCKED, failure=failure))
            for check in self.planned.checks
        )
        return SessionEnd(self.planned, tuple(results), number)

    def _left_open(self, check: PlannedCheck, log: Path, status: int | None, *, time_is_up: bool) -> CheckResult:
        if time_is_up:
            if check.name == self.running:
                failure = Failure("the session's time was up while this check ran")
                return CheckResult(check, Verdict.TIMED_OUT, time.monotonic() - self.began, failure)
            return CheckResult(check, Verdict.BLOCKED, failure=Failure("not run: the session's time was up"))
        failure = self.broken.failure if self.broken else Failure(_early(status), hint=_AGAIN, detail=_tail(log))
        return CheckResult(check, Verdict.GRADER_ERROR, failure=failure)


_AGAIN = "Run again. When it happens again, memory may be short: `grader doctor` looks."


def _early(status: int | None) -> str:
    how = f": killed by signal {-status}" if status is not None and status < 0 else ""
    return f"the checking session ended early{how}"


def _no_plan(broken: Broken | None, log: Path, status: int | None) -> GraderError:
    if broken and broken.usage:
        return UsageError(broken.failure.message, mend=broken.failure.hint, slug=broken.slug)
    if broken:
        return GraderFault(broken.failure.message, mend=broken.failure.hint, slug=broken.slug)
    if status is not None and status < 0:
        return GraderFault(f"{_early(status)}; nothing was graded", mend=_AGAIN, slug="session-lost")
    return GraderFault(
        "no checks could be collected; nothing was graded",
        mend=f"This is the grader's fault. The end of its log:\n{_tail(log)}",
        slug="no-checks",
    )


def _stop(process: _Process) -> None:
    for number in (SIGTERM, SIGKILL):
        if process.wait(0) is None:
            process.signal(number)
            with contextlib.suppress(KeyboardInterrupt):  # pressed again: we are at it
                process.wait(STOP_SECONDS)


def _tail(log: Path, size: int = 4000) -> str:
    with contextlib.suppress(OSError):
        return log.read_text("utf-8", "backslashreplace")[-size:]
    return ""
