"""Starts a checking session in a process of its own and turns whatever becomes of it into one verdict per check."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grader.errors import GraderError, GraderFault, UsageError
from grader.session.events import Broken, Ended, Event, Planned, SessionSpec, Started, read_events
from grader.verdict import CheckResult, Failure, PlannedCheck, Verdict

GRACE_SECONDS = 120  # beyond the lab's own seconds: starting servers, the last check's deadline, closing down
STOP_SECONDS = 10

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class SessionEnd:
    """What became of a session: the plan and a verdict for each planned check."""

    planned: tuple[PlannedCheck, ...]
    results: tuple[CheckResult, ...]


def run_session(spec: SessionSpec, folder: Path, listen: Listener) -> SessionEnd:
    """Run the checks of `spec`; `folder` is private to this run and keeps the session's own log.

    Raises:
        GraderFault: no checks could be planned.
        KeyboardInterrupt: passed on after the session has been stopped.
    """
    spec_file = folder / "session.json"
    spec.write(spec_file)
    read, write = os.pipe()
    log = folder / "session.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-m", "grader.session.process", str(spec_file), str(write)],
            pass_fds=(write,),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,  # Ctrl-C is ours to handle, once
        )
    os.close(write)
    overdue = threading.Timer(spec.seconds + GRACE_SECONDS, process.kill)
    overdue.daemon = True
    overdue.start()
    collected = _Collected()
    try:
        with os.fdopen(read, "r", encoding="utf-8") as stream:
            for event in read_events(stream):
                collected.add(event)
                listen(event)
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # every verdict is in; what hangs is the closing down, and _stop ends that
    finally:
        overdue.cancel()
        _stop(process)
    return collected.end(
        log, time_is_up=not overdue.is_alive() and process.returncode == -signal.SIGKILL, listen=listen
    )


class _Collected:
    """Events of a session so far."""

    def __init__(self) -> None:
        self.planned: tuple[PlannedCheck, ...] = ()
        self.results: dict[str, CheckResult] = {}
        self.running: str | None = None
        self.began = 0.0
        self.broken: Broken | None = None

    def add(self, event: Event) -> None:
        match event:
            case Planned(checks):
                self.planned = checks
            case Started(name):
                self.running, self.began = name, time.monotonic()
            case Ended(result):
                self.running = None
                self.results.setdefault(result.check.name, result)
            case Broken():
                self.broken = event

    def end(self, log: Path, *, time_is_up: bool, listen: Listener) -> SessionEnd:
        """Every planned check with a verdict; those that the session left open get one here."""
        if not self.planned:
            raise _no_plan(self.broken, log)
        for check in self.planned:
            if check.name not in self.results:
                result = self._left_open(check, log, time_is_up)
                self.results[check.name] = result
                listen(Ended(result))
        return SessionEnd(self.planned, tuple(self.results[check.name] for check in self.planned))

    def _left_open(self, check: PlannedCheck, log: Path, time_is_up: bool) -> CheckResult:
        if time_is_up:
            if check.name == self.running:
                failure = Failure("the session's time was up while this check ran")
                return CheckResult(check, Verdict.TIMED_OUT, time.monotonic() - self.began, failure)
            return CheckResult(check, Verdict.BLOCKED, failure=Failure("not run: the session's time was up"))
        failure = self.broken.failure if self.broken else Failure("the checking session ended early", detail=_tail(log))
        return CheckResult(check, Verdict.GRADER_ERROR, failure=failure)


def _no_plan(broken: Broken | None, log: Path) -> GraderError:
    if broken and broken.usage:
        return UsageError(broken.failure.message, mend=broken.failure.hint, slug=broken.slug)
    if broken:
        return GraderFault(broken.failure.message, mend=broken.failure.hint, slug=broken.slug)
    return GraderFault(
        "no checks could be collected; nothing was graded",
        mend=f"This is the grader's fault. The end of its log:\n{_tail(log)}",
        slug="no-checks",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(STOP_SECONDS)
    if process.poll() is None:
        process.kill()
        process.wait()


def _tail(log: Path, size: int = 4000) -> str:
    with contextlib.suppress(OSError):
        return log.read_text("utf-8", "backslashreplace")[-size:]
    return ""
