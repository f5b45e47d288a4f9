"""What the checks of lab-07 share: the corpora of the run, and the service with a model that has learnt nothing yet."""

from __future__ import annotations

import random

import pytest

from grader.checking import Stage

from .corpus import Corpus
from .drafts import Drafts
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
