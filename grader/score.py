"""Points from verdicts; pure, so that a score can be recomputed from any report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from grader.verdict import CheckResult, Verdict


@dataclass(frozen=True)
class TaskScore:
    """Points of one task: `points` split evenly over all its checks, earned by those that passed.

    `checks` were run; `all_checks` is how many the task has, which is more where `--only` left some out.
    """

    id: str
    title: str
    points: int
    earned: Fraction
    passed: int
    checks: int
    all_checks: int


@dataclass(frozen=True)
class Score:
    """The points of one run.

    Attributes:
        earned: exact points, 0 to 100 for a whole lab.
        possible: points of the tasks that had checks in this run.
    """

    earned: Fraction
    possible: int
    tasks: tuple[TaskScore, ...]

    @property
    def shown(self) -> str:
        """Points with one decimal where there is one, rounded down: 100 only when every check passed."""
        return shown(self.earned)


def shown(points: Fraction) -> str:
    """Points for people: at most one decimal, rounded down."""
    return f"{int(points * 10) / 10:g}"


def score(
    tasks: Sequence[tuple[str, str, int]], results: Sequence[CheckResult], all_checks: Mapping[str, int]
) -> Score:
    """Score results against tasks given as (id, title, points); `all_checks` counts the checks of each task."""
    rows = []
    for task_id, title, points in tasks:
        mine = [result for result in results if result.check.task == task_id]
        if not mine:
            continue
        passed = sum(result.verdict is Verdict.PASSED for result in mine)
        every = max(len(mine), all_checks.get(task_id, 0))
        rows.append(TaskScore(task_id, title, points, Fraction(points * passed, every), passed, len(mine), every))
    return Score(sum((row.earned for row in rows), Fraction(0)), sum(row.points for row in rows), tuple(rows))
