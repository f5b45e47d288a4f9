"""What the checks of lab-06 share: the company of the run, and three warm programs that serve it."""

from __future__ import annotations

import random

import pytest

from grader.checking import FreshStage, Stage
from grader.checking.freight import World, make_world

from .cast import Cast
from .desk import Desk

# Budgets that a check can use up with a few calls; the limits of a tool call with them.
TIGHT = {
    "MAX_STEPS": "4",
    "MAX_TOKENS": "40000",
    "MAX_INVALID": "2",
    "MAX_IDENTICAL": "2",
    "TOOL_SECONDS": "2",
    "TOOL_CHARS": "700",
    "APPROVAL_SECONDS": "2",
}


@pytest.fixture(scope="session")
def world(seed: int) -> World:
    """The company, the same for all checks of a run."""
    return make_world(seed)


@pytest.fixture(scope="session")
def starting_database(world: World) -> str:
    """Meridian's orders, filled."""
    return world.sql()


@pytest.fixture
def cast(world: World, rng: random.Random) -> Cast:
    """The people and rows of this check."""
    return Cast(world, rng)


@pytest.fixture
def desk(stage: Stage) -> Desk:
    """The warm program on the Anthropic wire, with the budgets that the brief names as defaults."""
    return Desk(stage)


@pytest.fixture
def openai_desk(shared_stage: FreshStage) -> Desk:
    """The warm program on the OpenAI wire; it may take many invalid calls."""
    return Desk(shared_stage({"MODEL_WIRE": "openai", "MAX_INVALID": "100"}))


@pytest.fixture
def tight_desk(shared_stage: FreshStage) -> Desk:
    """The warm program with small budgets."""
    return Desk(shared_stage(TIGHT))
