"""What the checks of lab-07 share: the corpora of the run, and the service with a model that has learnt nothing yet."""

from __future__ import annotations

import random

import pytest

from grader.checking import FreshStage, Stage

from .corpus import Corpus
from .drafts import Drafts
from .migration import ONE, Migration
from .reader import Reader
from .service import Service


@pytest.fixture(scope="session")
def corpus(seed: int) -> Corpus:
    """The big corpora, the same for all checks of a run."""
    return Corpus(random.Random(f"{seed}:corpus"))  # noqa: S311 - test data, no secret


@pytest.fixture
def service(stage: Stage) -> Service:
    """The warm program, with a reader that knows no question yet."""
    return Service(stage, Reader())


@pytest.fixture
def drafts(rng: random.Random) -> Drafts:
    """Fresh small documents."""
    return Drafts(rng)


@pytest.fixture
def migration(fresh_stage: FreshStage, rng: random.Random) -> Migration:
    """A program with a database of its own, whose vectors are about to be moved."""
    return Migration(fresh_stage({"EMBEDDING_MODEL": ONE}), rng)
