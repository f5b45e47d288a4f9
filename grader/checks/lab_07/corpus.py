"""The big corpora of a run: three handbooks and the Python topics, put into the learner's service once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import cached_property

from grader.checking import Stage

from . import topics
from .drafts import Drafts, Note
from .handbook import COMPANIES, Document, Handbook, Question, write_handbook
from .service import Service, fresh_tenant

# At about 500 to 1,000 chunks of the topics, so many notes are one chunk in a hundred.
BULLETINS = 9
COLLECTION = "bulletins"


@dataclass
class Corpus:
    """What is stored for the checks that need a lot; `names` are the tenants' names in this run."""

    rng: random.Random
    names: dict[str, str] = field(init=False)
    python: str = field(init=False)
    bulletins: tuple[Note, ...] = field(init=False)
    _stored_in: set[str] = field(default_factory=set)
    _seed: int = field(init=False)

    def __post_init__(self) -> None:
        self.names = {company: fresh_tenant(self.rng, company) for company in COMPANIES}
        self._seed = self.rng.getrandbits(64)
        self.python = fresh_tenant(self.rng, "python")
        self.bulletins = tuple(Drafts(self.rng).notes(BULLETINS, collection=COLLECTION))

    @cached_property
    def handbook(self) -> Handbook:
        return write_handbook(random.Random(self._seed))  # noqa: S311 - test data, no secret

    def documents(self, tenant: str) -> tuple[Document, ...]:
        """What the tenant of this name in the run has stored."""
        if tenant == self.python:
            return (*topics.documents(), *(note.document for note in self.bulletins))
        company = next(company for company, name in self.names.items() if name == tenant)
        return self.handbook.of(company)

    @property
    def tenants(self) -> tuple[str, ...]:
        return (*self.names.values(), self.python)

    def store(self, stage: Stage, service: Service) -> int:
        """PUT everything, unless this database has it; the number of documents."""
        documents = [(tenant, document) for tenant in self.tenants for document in self.documents(tenant)]
        if stage.database.url not in self._stored_in:
            for tenant in self.tenants:
                service.keep(tenant, *self.documents(tenant))
            self._stored_in.add(stage.database.url)
        return len(documents)

    def questions(self, company: str, *slices: str, sample: int | None = None, rng: random.Random) -> list[Question]:
        """Questions to a company's handbook under its name in this run, a sample of them in random order."""
        asked = list(self.handbook.asked(company, *slices))
        rng.shuffle(asked)
        return [replace(question, tenant=self.names[company]) for question in asked[:sample]]
