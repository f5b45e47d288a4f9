"""Checks of the fourth toy lab: MCP over standard streams."""

import random

from grader.checking import Stage, check, expect_equal


@check(task="count")
def counts_words(stage: Stage, rng: random.Random) -> None:
    """The words of a text are counted"""
    for text in ("", "é ü", " ".join(["word"] * rng.randrange(3, 100))):
        answer = stage.mcp.request("tools/call", {"name": "count", "arguments": {"text": text}})
        expect_equal(answer.result, {"words": len(text.split()), "empty": not text}, "the count")


@check(task="manners", after=("counts_words",))
def refuses_unknown_methods(stage: Stage, rng: random.Random) -> None:
    """An unknown method is an error with the protocol's code"""
    error = stage.mcp.request(f"no/{rng.randrange(10**6)}").error
    expect_equal(error["code"], -32601, "the code of the error")
