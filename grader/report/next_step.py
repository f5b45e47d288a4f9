"""What the learner should do next, in one or two lines, from the result of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grader.errors import GraderError
from grader.recordings import read_last
from grader.verdict import Verdict

if TYPE_CHECKING:
    from grader.lab import Lab
    from grader.run import LabResult


def next_step(lab: Lab, result: LabResult) -> str:
    """One next step: mend the machine, mend the first failed check, or read on after passing."""
    if result.interrupted:
        ended = sum(item.verdict is not Verdict.BLOCKED for item in result.checks)
        return f"Interrupted after {ended} of {len(result.checks)} checks. The same inputs again: {result.again}"
    verdicts = [item.verdict for item in result.checks]
    if Verdict.GRADER_ERROR in verdicts:
        return "Next: `grader doctor`; something here kept the grader from grading."
    failed = next((item for item in result.checks if item.verdict is not Verdict.PASSED), None)
    if failed is None:
        whole = len(result.score.tasks) == len(lab.tasks)
        if not whole:
            return f"Next: `grader check {lab.name}` for all tasks."
        return (
            f"Next: read solutions/{lab.folder}/README.md and the last section of labs/{lab.folder}/README.md,\n"
            f"then run it twice more: every run has other inputs."
        )
    task, name = failed.check.task, failed.check.name
    sent = f"  what you sent: grader wire {lab.name} --check {name}\n" if _is_recorded(lab, name) else ""
    return (
        f"Next: {failed.check.title}\n"
        f"  task `{task}` in labs/{lab.folder}/README.md · hints: labs/{lab.folder}/hints.md#{task}\n"
        f"{sent}  this check alone, same inputs: {result.again} --only {name}"
    )


def _is_recorded(lab: Lab, check: str) -> bool:
    if not lab.services.model:
        return False
    try:
        return any(exchange.label == check for exchange in read_last(lab))
    except GraderError:
        return False
