"""The report of a run while it runs: each event is kept in a file as it happens, so that a killed run loses nothing.

`.grader/lab-07/run-4711-….jsonl` is being written by process 4711, or was when that died; `cut-short.jsonl` is the
newest of those that died. The lines are a session's events, behind one that says what was graded.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Self

from grader.lab import Lab
from grader.recordings import folder_of, is_running
from grader.session.events import Ended, Event, Planned, Started, read_events
from grader.verdict import Verdict

CUT_SHORT = "cut-short.jsonl"


@dataclass(frozen=True)
class CutShort:
    """A run that did not come to its end: how far it came, and how to repeat it.

    Attributes:
        graded, passed, planned: how many checks had a verdict, had passed, and were to be run.
        seed: of its inputs.
        path: where its verdicts are.
    """

    graded: int
    passed: int
    planned: int
    seed: int
    path: Path


class RunRecord:
    """Keeps a run's events; a checkout that cannot be written loses the record and nothing else."""

    def __init__(self, lab: Lab, label: str, seed: int) -> None:
        self._path = folder_of(lab) / f"run-{os.getpid()}-{os.urandom(3).hex()}.jsonl"
        self._file: TextIOWrapper | None = None
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        self._write({"run": {"lab": lab.name, "graded": label, "seed": seed}})

    def listen(self, event: Event) -> None:
        """One event of the session."""
        match event:
            case Planned():
                self._write({"planned": asdict(event)})
            case Started(name):
                self._write({"started": name})
            case Ended(result):
                self._write({"ended": asdict(result)})
            case _:
                pass

    def _write(self, line: object) -> None:
        if self._file:
            with suppress(OSError):  # a full disk has its own report
                self._file.write(json.dumps(line) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The run came to an end that was reported: the record has served."""
        with suppress(OSError):
            if self._file:
                self._file.close()
            self._path.unlink(missing_ok=True)


def find_cut_short(lab: Lab) -> CutShort | None:
    """The newest run of the lab whose process was killed, told once; what it had graded stays in `cut-short.jsonl`."""
    with suppress(OSError):
        records = folder_of(lab).glob("run-*.jsonl")
        left = [path for path in records if not is_running(int(path.name.split("-")[1]))]
        for path in sorted(left, key=lambda path: path.stat().st_mtime):
            path.replace(path.with_name(CUT_SHORT))
        if left:
            return _read(folder_of(lab) / CUT_SHORT)
    return None


def _read(path: Path) -> CutShort | None:
    with suppress(OSError, ValueError, KeyError, TypeError), path.open(encoding="utf-8") as file:
        seed = int(json.loads(file.readline())["run"]["seed"])
        events = list(read_events(file))
        verdicts = [event.result.verdict for event in events if isinstance(event, Ended)]
        planned = sum(len(event.checks) for event in events if isinstance(event, Planned))
        return CutShort(len(verdicts), verdicts.count(Verdict.PASSED), planned, seed, path)
    return None
