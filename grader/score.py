"""Points from verdicts; pure, so that a score can be recomputed from any report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from grader.verdict import CheckResult, Verdict


@dataclass(frozen=True)
class TaskScore:
    """Points of one task: `points` split evenly over its checks, earned by those that passed."""

    id: str
    title: str
    points: int
    earned: Fraction
    passed: int
    checks: int


@dataclass(frozen=True)
class Score:
    """The points of one run.

    Attributes:
        earned: exact points, 0 to 100 for a whole lab.
        possible: points of the tasks that had checks in this run (`--only` leaves some out).
    """

    earned: Fraction
    possible: int
    tasks: tuple[TaskScore, ...]

    @property
    def shown(self) -> int:
        """Whole points, rounded down: 100 only when every check passed."""
        return int(self.earned)


def score(tasks: Sequence[tuple[str, str, int]], results: Sequence[CheckResult]) -> Score:
    """Score results against tasks given as (id, title, points)."""
    rows = []
    for task_id, title, points in tasks:
        mine = [result for result in results if result.check.task == task_id]
        if not mine:
            continue
        passed = sum(result.verdict is Verdict.PASSED for result in mine)
        rows.append(TaskScore(task_id, title, points, Fraction(points * passed, len(mine)), passed, len(mine)))
    return Score(sum((row.earned for row in rows), Fraction(0)), sum(row.points for row in rows), tuple(rows))
