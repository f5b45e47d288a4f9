"""What the checks of lab-07 share: the corpora of the run, and the service with a model that has learnt nothing yet."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from grader.checking import Stage

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


@pytest.fixture(scope="session")
def migration(theatre_: Any, seed: int) -> Iterator[Migration]:
    """One more program with a database of its own, which the checks of the task spaces move on, one after the other."""
    with theatre_.fresh({"EMBEDDING_MODEL": ONE}) as stage:
        yield Migration(stage, random.Random(f"{seed}:migration"))  # noqa: S311 - as above
