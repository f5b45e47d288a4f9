"""One run's keeper: forks its programs, watches what they use, reports their ends, and kills all of them at last.

Wire: one JSON object per line over a Unix stream socket. The run sends `{"start": {argv, environment, folder, limits,
confinement, bounds}}` with the three standard streams as descriptors. The keeper answers `{"pid": n}`, with the
descriptors of `doorman` where the program has a network of its own, or `{"error": text}`, or `{"unconfined":
text}`; later `{"exited": pid, "status": wait status, "overrun": … or null}`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from grader.sandbox import doorman, family, identity, kernel, watchdog
from grader.sandbox.become import become
from grader.sandbox.bubblewrap import Box, NoBoxError
from grader.sandbox.confine import Confinement
from grader.sandbox.levels import Level
from grader.sandbox.line import Line
from grader.sandbox.watchdog import Bounds, Overrun


class NotStartedError(Exception):
    """The program could not be forked; `kind` names the answer that says so."""

    kind = "error"


class NotConfinedError(NotStartedError):
    """It was forked, and could not be confined: it never ran."""

    kind = "unconfined"


@dataclass
class _Kept:
    """A running program.

    Attributes:
        child: the process to wait for: the program's own, or its doorman's.
        pid: the program's.
        given: its folder was made a throw-away user's.
    """

    child: int
    pid: int
    own: str
    bounds: Bounds | None
    box: Box | None
    given: bool
    overrun: Overrun | None = None


class Keeper:
    """Serves one run until it closes its connection or dies."""

    def __init__(self, connection: socket.socket, warden: int) -> None:
        self._warden = warden
        self._connection = connection
        self._line = Line(connection)
        self._kept: dict[int, _Kept] = {}
        self._next_look = 0.0

    def serve(self) -> NoReturn:
        """Start programs as asked; never returns."""
        kernel.become_subreaper()
        wake = family.wake_on_signals()
        signal.signal(signal.SIGTERM, lambda *_: None)
        kernel.die_with_parent(signal.SIGTERM)  # in order: what its programs have forked away dies too
        stopping = os.getppid() != self._warden  # it ended before we could hear of it
        while not stopping:
            ready, _, _ = select.select([self._connection.fileno(), wake], [], [], self._until_next_look())
            if wake in ready:
                # The only other signal that wakes a keeper is SIGTERM: the warden's, or that of its death.
                stopping = signal.SIGTERM in os.read(wake, 4096)
                for pid, status in family.reap():
                    self._ended(pid, status)
            if self._connection.fileno() in ready:
                for message, streams in self._line.receive():
                    self._start(message["start"], streams)
                stopping = stopping or self._line.closed
            if self._kept and time.monotonic() >= self._next_look:
                self._watch()
                self._next_look = time.monotonic() + watchdog.SECONDS
        family.kill_descendants(spare=set())
        os._exit(0)

    def _until_next_look(self) -> float | None:
        return max(0.0, self._next_look - time.monotonic()) if self._kept else None

    def _ended(self, pid: int, status: int) -> None:
        if kept := self._kept.pop(pid, None):
            if kept.box:
                kept.box.close()
            if kept.given:
                with contextlib.suppress(OSError):
                    identity.take_back(kept.own)
            overrun = asdict(kept.overrun) if kept.overrun else None
            self._send({"exited": kept.pid, "status": status, "overrun": overrun})

    def _start(self, start: dict[str, Any], streams: list[int]) -> None:
        handed: list[int] = []
        try:
            kept, handed = self._fork(start, streams)
        except NotStartedError as error:
            self._send({error.kind: str(error)})
        else:
            self._kept[kept.child] = kept
            self._send({"pid": kept.pid}, handed)
        finally:
            for descriptor in (*streams, *handed):
                os.close(descriptor)

    def _fork(self, start: dict[str, Any], streams: list[int]) -> tuple[_Kept, list[int]]:
        confinement = Confinement.of(start["confinement"])
        box = _make_box(confinement)
        told, telling = os.pipe()
        report, reporting = socket.socketpair()
        try:
            child = os.fork()
        except OSError as error:
            raise NotStartedError(f"cannot fork: {error.strerror}") from error
        if child == 0:
            os.close(told)
            if box:
                doorman.stand(box, confinement.connect, reporting, telling)
            become(start, confinement, streams, telling)
        os.close(telling)
        reporting.close()
        pid, handed = doorman.hear(report) if box else (child, [])
        report.close()
        if complaint := _all_of(told):
            for descriptor in handed:
                os.close(descriptor)
            if box:
                box.close()
            raise NotConfinedError(complaint)
        given = confinement.level in (Level.LANDLOCK, Level.BUBBLEWRAP)
        bounds = Bounds(**start["bounds"]) if start["bounds"] else None
        return _Kept(child, pid, confinement.own, bounds, box, given), handed

    def _watch(self) -> None:
        """Kill what uses too much."""
        known = {pid for kept in self._kept.values() for pid in (kept.child, kept.box.pid if kept.box else 0)}
        # Their parents have ended, so that nobody can say whose they were: they count for every program of the run.
        orphans = [pid for pid in family.children(os.getpid()) if pid not in known]
        for kept in self._kept.values():
            if kept.bounds is None or kept.overrun:
                continue
            others = [] if kept.box else [*orphans, *(below for pid in orphans for below in family.descendants(pid))]
            kept.overrun = watchdog.look(kept.pid, others, kept.own, kept.box, kept.bounds)
            if kept.overrun:
                for pid in (*others, *family.descendants(kept.pid), kept.pid):
                    family.kill(pid)

    def _send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        with contextlib.suppress(OSError):  # the run is gone; the next read says so and everything is killed
            self._line.send(message, descriptors)


def _make_box(confinement: Confinement) -> Box | None:
    if confinement.level is not Level.BUBBLEWRAP:
        return None
    try:
        return Box(confinement.bwrap, confinement.mounts, confinement.own, confinement.temporary_mb)
    except NoBoxError as error:
        raise NotConfinedError(str(error.strerror)) from error


def _all_of(told: int) -> str:
    """What a child says until it is confined, closes its end, or has ended."""
    with os.fdopen(told, "rb") as reading:
        return reading.read().decode("utf-8", "replace")
