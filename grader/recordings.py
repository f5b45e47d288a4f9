"""Where a lab's recorded exchanges lie: of the run or the practice under way, and of the last one that ended.

`.grader/lab-07/wire.jsonl` is the last one; `wire-4711.jsonl` is being written by process 4711, or was when it died.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from grader.errors import EnvironmentFault, UsageError
from grader.lab import Lab

if TYPE_CHECKING:
    from grader.model import Exchange

LAST = "wire.jsonl"


def folder_of(lab: Lab) -> Path:
    """The folder for what is recorded of a lab; git ignores it."""
    return lab.root / ".grader" / lab.name


def place_for(lab: Lab, *, otherwise: Path) -> Path:
    """The file to record to: in the checkout, where a killed run leaves it; elsewhere when that cannot be written."""
    folder = folder_of(lab)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder / f"wire-{os.getpid()}-{os.urandom(3).hex()}.jsonl"
    return otherwise / LAST


def keep(recording: Path, lab: Lab) -> None:
    """Make a finished recording the last one; those of processes that have died before are dropped."""
    if recording.parent != folder_of(lab):
        return  # a checkout that cannot be written
    with suppress(OSError):
        recording.replace(recording.with_name(LAST))
    for other in recording.parent.glob("wire-*.jsonl"):
        if not is_running(int(other.name.split("-")[1])):
            other.unlink(missing_ok=True)


def read_last(lab: Lab) -> tuple[Exchange, ...]:
    """The exchanges of the newest recording, finished or not, in order of arrival.

    Raises:
        UsageError: there is none.
        EnvironmentFault: it cannot be read.
    """
    from grader.model.recording import read_recording  # noqa: PLC0415 - a run does not read it

    files = sorted(folder_of(lab).glob("wire*.jsonl"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise UsageError(
            f"nothing of {lab.name} has been recorded here",
            mend=f"Run `grader check {lab.name}` or `grader up {lab.name}` first.",
            slug="no-wire",
        )
    try:
        return read_recording(files[-1])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EnvironmentFault(
            f"cannot read the recording {str(files[-1])!r}: {error}",
            mend=f"Remove it, and run `grader check {lab.name}` again.",
            slug="recording-unreadable",
        ) from error


def is_running(process: int) -> bool:
    """Whether a process of that number runs, ours or another user's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
