"""Checks of the toy lab."""

import random

from grader.checking import FreshStage, Stage, check, expect_equal, note


@check(task="echo")
def echoes_text(stage: Stage, rng: random.Random) -> None:
    """Whatever is sent comes back"""
    for text in ("", "é ", str(rng.random())):
        reply = stage.program.post("/echo", json={"text": text})
        expect_equal(reply.status, 200, "the status of POST /echo")
        expect_equal(reply.json(), {"text": text}, "the echo", hint="Send back exactly what came in.")
    note("3 texts sent")


@check(task="manners", after=("echoes_text",))
def greets_from_the_environment(fresh_stage: FreshStage, rng: random.Random) -> None:
    """The greeting is the one of the environment"""
    greeting = f"good day {rng.random()}"
    stage = fresh_stage({"GREETING": greeting})
    expect_equal(stage.program.get("/greeting").json(), {"text": greeting}, "the greeting")
