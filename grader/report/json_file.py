"""The report as JSON, described field by field in docs/report-format.md."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.report.inert import ACTIVE
from grader.submission import write_fault

if TYPE_CHECKING:
    from grader.run import LabResult
    from grader.verdict import CheckResult

FORMAT = 1


def render(result: LabResult) -> str:
    """The whole result as JSON text with a line end; nothing in it acts on a terminal."""
    text = json.dumps(as_dict(result), indent=2, ensure_ascii=False) + "\n"
    # `--json -` may go to a terminal or a CI log, and a lone surrogate has no UTF-8: both become JSON's own escapes.
    return ACTIVE.sub(lambda match: json.dumps(match[0])[1:-1], text)


def write(result: LabResult, target: str) -> None:
    """Write the report to a file, whole or not at all; "-" is standard output.

    Raises:
        EnvironmentFault: the place cannot be written.
    """
    if target == "-":
        sys.stdout.write(render(result))
        return
    path = Path(target)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial.write_text(render(result), "utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise write_fault(path, error) from error


def as_dict(result: LabResult) -> dict[str, Any]:
    """The report's fields; points are rounded down to two decimals."""
    return {
        "format": FORMAT,
        "lab": result.lab,
        "folder": result.folder,
        "title": result.title,
        "graded": result.label,
        "grader_version": result.grader_version,
        "seed": result.seed,
        "isolation": {
            "level": result.isolation.level,
            "mechanism": result.isolation.mechanism,
            "official": result.isolation.official,
            "reason": result.isolation.reason,
            "mend": result.isolation.mend,
            "tried": [{"level": trial.level, "weak": list(trial.weak)} for trial in result.isolation.tried],
        },
        "exit_code": result.exit_code,
        "points": {"earned": _points(result.score.earned), "possible": result.score.possible},
        "seconds": round(result.seconds, 3),
        "submission_sha256": result.submission_digest,
        "checks_sha256": result.checks_digest,
        "tasks": [
            {
                "id": task.id,
                "title": task.title,
                "points": task.points,
                "earned": _points(task.earned),
                "passed": task.passed,
                "checks": task.checks,
                "all_checks": task.all_checks,
            }
            for task in result.score.tasks
        ],
        "checks": [_check(item) for item in result.checks],
    }


def _check(result: CheckResult) -> dict[str, Any]:
    failure = result.failure
    return {
        "name": result.check.name,
        "title": result.check.title,
        "task": result.check.task,
        "after": list(result.check.after),
        "verdict": result.verdict.value,
        "seconds": round(result.seconds, 3),
        "notes": list(result.notes),
        "failure": None
        if failure is None
        else {
            "message": failure.message,
            "expected": failure.expected,
            "observed": failure.observed,
            "hint": failure.hint,
            "detail": failure.detail,
        },
    }


def _points(value: Any) -> float:
    return int(value * 100) / 100
