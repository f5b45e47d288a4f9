"""Checks of the sixth toy lab: a pytest suite."""

import random

from grader.checking import Stage, check, expect_equal


@check(task="suite", seconds=20)
def tells_even_from_odd(stage: Stage, rng: random.Random) -> None:
    """The suite passes on even numbers and fails on odd ones"""
    for number in rng.sample([0, 2 * rng.randrange(10**6), 2 * rng.randrange(10**6) + 1], 3):
        finished = stage.command.run(environment={"SUBJECT": str(number)}, seconds=6)
        expect_equal(finished.exit_code, number % 2, f"the exit code for {number}", hint=finished.text[-300:])
