"""What the checks of lab-05 share: the company of the run, its tokens, and two replicas of the server."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from grader.checking import FreshStage, Stage
from grader.checking.freight import World, make_world

from .server import Server
from .tokens import Authority


@pytest.fixture(scope="session")
def world(seed: int) -> World:
    """The company as the database holds it at the start."""
    return make_world(seed)


@pytest.fixture(scope="session")
def authority(seed: int) -> Authority:
    """Who issues the tokens of this run."""
    return Authority(random.Random(f"{seed}:authority"))  # noqa: S311 - test data, no secret


@pytest.fixture(scope="session")
def starting_database(world: World) -> str:
    return world.sql()


@pytest.fixture(scope="session")
def starting_environment(authority: Authority, seed: int) -> Mapping[str, str]:
    key = random.Random(f"{seed}:state").randbytes(32).hex()  # noqa: S311 - test data, no secret
    return {"MCP_STATE_KEY": key, **authority.environment}


@pytest.fixture
def server(stage: Stage, world: World, authority: Authority, rng: random.Random) -> Server:
    """Two warm replicas on one database, asked in turn."""
    return Server(stage, world, authority, rng)


@pytest.fixture
def fresh_server(fresh_stage: FreshStage, world: World, authority: Authority, rng: random.Random) -> Server:
    """Two replicas on a database of their own, which allow five calls a minute and two seconds to confirm."""
    stage = fresh_stage({"RATE_PER_MINUTE": "5", "CONFIRMATION_SECONDS": "2"})
    return Server(stage, world, authority, rng)
