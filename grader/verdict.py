"""What a check can end in, as plain data that every other module may import."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The end of one planned check: exactly one of these."""

    PASSED = "passed"
    FAILED = "failed"  # the program did something else than the brief promises
    CRASHED = "crashed"  # the program died while the check ran
    TIMED_OUT = "timed_out"  # no answer within the deadline
    BLOCKED = "blocked"  # not run: a check that must pass first did not
    GRADER_ERROR = "grader_error"  # our fault or the machine's, never the learner's


@dataclass(frozen=True)
class Failure:
    """Why a check did not pass, in the learner's terms.

    Attributes:
        message: one line: what happened.
        expected: what the brief promises, or "".
        observed: what was seen on the wire, with the value, or "".
        hint: the likely mistake and where to look, or "".
        detail: the tail of the program's output or of our traceback, or "".
    """

    message: str
    expected: str = ""
    observed: str = ""
    hint: str = ""
    detail: str = ""


@dataclass(frozen=True)
class PlannedCheck:
    """A check that the run will end with a verdict.

    Attributes:
        name: unique in the lab; what `--only` and `wrong.toml` name.
        title: the line the learner reads (the check's docstring).
        task: id of a task in lab.toml.
        after: names of checks that must pass first.
    """

    name: str
    title: str
    task: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """One planned check and its only verdict; `seconds` is wall time of the check itself."""

    check: PlannedCheck
    verdict: Verdict
    seconds: float = 0.0
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
