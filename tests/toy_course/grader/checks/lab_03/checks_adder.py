"""Checks of the third toy lab: a command line."""

import json
import random

from grader.checking import Stage, check, expect, expect_equal


@check(task="sum")
def adds_up(stage: Stage, rng: random.Random) -> None:
    """The sum and the count of a list come out"""
    for numbers in ([], [-1, 1, 0], [rng.randrange(10**9) for _ in range(rng.randrange(3, 9))]):
        finished = stage.command.run(stdin=json.dumps(numbers))
        expect_equal(finished.exit_code, 0, "the exit code")
        expect_equal(finished.json(), {"sum": sum(numbers), "count": len(numbers)}, "the answer")


@check(task="manners", after=("adds_up",))
def refuses_what_is_no_list(stage: Stage) -> None:
    """What is no list of whole numbers is refused on standard error"""
    for text in ("", "[1.5]", "[true]", '{"a": 1}'):
        finished = stage.command.run(stdin=text)
        expect_equal(finished.exit_code, 2, f"the exit code for {text!r}")
        expect(not finished.stdout and finished.stderr, "the refusal is not on standard error", observed=finished)
