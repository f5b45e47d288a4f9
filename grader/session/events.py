"""What travels between a checking session and the grader that started it: the plan and the verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from grader.verdict import CheckResult, Failure, PlannedCheck, Verdict


@dataclass(frozen=True)
class SessionSpec:
    """All that a checking session is told; plain data, so that it can be a file.

    Attributes:
        checks: folder with the hidden checks.
        submission: folder with the staged files.
        scratch: the program's home and temporary folder.
        argv, speaks, environment, warm, ready, ready_seconds: how the program is started and talked to.
        wires, postgres, postgres_settings, postgres_mb: what runs beside it.
        tasks: ids that a check may name.
        only: names of checks or tasks; empty for all.
        level: how programs are confined, a value of `grader.sandbox.Level`.
        warden: socket of a running warden that starts the programs, or "" to start one.
        wire_file: where the exchanges with the model are written while they happen, or "".
    """

    lab: str
    checks: str
    submission: str
    scratch: str
    argv: tuple[str, ...]
    speaks: str
    environment: dict[str, str]
    warm: tuple[str, ...]
    ready: str
    ready_seconds: int
    wires: tuple[str, ...]
    postgres: bool
    postgres_settings: dict[str, str]
    postgres_mb: int
    tasks: tuple[str, ...]
    only: tuple[str, ...]
    seed: int
    seconds: int
    seconds_per_check: int
    memory_mb: int
    output_kb: int
    level: str = "process"
    warden: str = ""
    wire_file: str = ""

    def write(self, path: Path) -> None:
        """Save as JSON."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @staticmethod
    def read(path: Path) -> SessionSpec:
        """Load what `write` saved."""
        data = json.loads(path.read_text("utf-8"))
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        return SessionSpec(**(data | lists))


@dataclass(frozen=True)
class Planned:
    """The session will end each of these checks with a verdict; `all_checks` counts those of each task."""

    checks: tuple[PlannedCheck, ...]
    all_checks: dict[str, int]


@dataclass(frozen=True)
class Started:
    """A check began."""

    name: str


@dataclass(frozen=True)
class Ended:
    """A check got its verdict."""

    result: CheckResult


@dataclass(frozen=True)
class Broken:
    """The session itself cannot go on."""

    failure: Failure
    slug: str
    usage: bool = False


Event = Planned | Started | Ended | Broken


class Channel:
    """The session's end of the pipe: one JSON object per line."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # no program may hold the verdict pipe
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)

    def planned(self, plan: Planned) -> None:
        """Announce the plan."""
        self._send("planned", asdict(plan))

    def started(self, name: str) -> None:
        """A check begins."""
        self._send("started", name)

    def verdict(self, result: CheckResult) -> None:
        """A check has ended."""
        self._send("ended", asdict(result))

    def broken(self, failure: Failure, slug: str, *, usage: bool) -> None:
        """The session cannot go on; `usage` when it is the command line that asks for something odd."""
        self._send("broken", {"failure": asdict(failure), "slug": slug, "usage": usage})

    def close(self) -> None:
        """Close the pipe."""
        self._file.close()

    def _send(self, kind: str, data: Any) -> None:
        self._file.write(json.dumps({kind: data}) + "\n")


def read_events(stream: IO[str]) -> Iterator[Event]:
    """Events from the reading end of the pipe; a line cut off by a killed session is dropped."""
    for line in stream:
        if not line.endswith("\n"):
            return
        ((kind, data),) = json.loads(line).items()
        match kind:
            case "planned":
                yield Planned(tuple(_check(item) for item in data["checks"]), data["all_checks"])
            case "started":
                yield Started(data)
            case "ended":
                yield Ended(_result(data))
            case "broken":
                yield Broken(Failure(**data["failure"]), data["slug"], data["usage"])


def _check(data: dict[str, Any]) -> PlannedCheck:
    return PlannedCheck(data["name"], data["title"], data["task"], tuple(data["after"]))


def _result(data: dict[str, Any]) -> CheckResult:
    failure = Failure(**data["failure"]) if data["failure"] else None
    return CheckResult(_check(data["check"]), Verdict(data["verdict"]), data["seconds"], failure, tuple(data["notes"]))
