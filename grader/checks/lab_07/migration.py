"""A service that moves from one embedding model to another, watched through /health, questions and embedding calls."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

from grader.checking import Request, Stage, expect, expect_equal

from .drafts import Drafts, Note
from .reader import Reader
from .service import Service, fresh_tenant

ONE, TWO, MINI = "meridian-embed-1", "meridian-embed-2", "meridian-embed-2-mini"


class Migration:
    """A stage of its own with two tenants' notes, made with one embedding model, to be restarted with another."""

    def __init__(self, stage: Stage, rng: random.Random) -> None:
        self.stage = stage
        self.service = Service(stage, Reader())
        self.drafts = Drafts(rng)
        self.old, self.new = ONE, ONE
        self._asked = itertools.count()  # no question is asked twice: its embedding may be cached
        self.tenants = [fresh_tenant(rng), fresh_tenant(rng)]
        self.notes: dict[str, list[Note]] = {tenant: self.drafts.notes(8) for tenant in self.tenants}
        self.expect_space(ONE, None, "in an empty database")
        mark = stage.model.journal.mark()
        for tenant, notes in self.notes.items():
            self.service.keep(tenant, *(note_.document for note_ in notes))
            for note_ in notes:
                self.service.reader.teach(note_.ask, note_.gold)
        self._inputs = [text for call in self.service.embeddings(mark) for text in call.inputs]

    def restart(self, model: str) -> None:
        """Start the program with another EMBEDDING_MODEL."""
        self.old, self.new = self.new, model
        self.stage.restart({"EMBEDDING_MODEL": model})

    @property
    def chunks(self) -> int:
        """How many chunks are stored: one a note."""
        return sum(map(len, self.notes.values()))

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Tenant": self.tenants[0]}

    def into_new(self, request: Request) -> bool:
        """Matches requests for embeddings in the new space."""
        return request.wire == "openai-embeddings" and request.model == self.new

    def expect_space(self, model: str, dimensions: int | None, when: str) -> None:
        """What /health names."""
        body = self.stage.program.get("/health").json()
        space: Any = body.get("embedding") if isinstance(body, dict) else None
        expect(
            isinstance(space, Mapping) and body.get("status") == "ok",
            "GET /health is not of the promised shape",
            expected={"status": "ok", "embedding": {"model": model, "dimensions": dimensions}},
            observed=body,
        )
        expect_equal(space.get("model"), model, f"the model that /health names {when}")
        if dimensions is not None:
            expect_equal(space.get("dimensions"), dimensions, f"the dimensions that /health names {when}")

    def expect_answers_in(self, model: str, when: str) -> None:
        """Each tenant finds its notes, and questions are embedded with the model of the space in force."""
        number = next(self._asked)
        for tenant, notes in self.notes.items():
            # No word of this stands in any note: only vectors can bring passages, and all there are have to come.
            wordless = f"Xylophon {self.drafts.code()}?"
            self.service.reader.teach(wordless)
            sent = len(self.service.ask(tenant, wordless, k=20, max_prompt_tokens=8000).prompt.passages)
            expect_equal(
                sent,
                len(notes),
                f"the number of passages for k=20 {when}, of a tenant that has {len(notes)}",
                hint="Vectors of the space in force are missing: build the new ones beside them, not in their place.",
            )
            note_ = notes[number]
            asked = self.service.ask(tenant, note_.ask, k=3)
            expect(
                asked.holds(note_.gold),
                f"a document is not found {when}",
                expected=note_.gold,
                observed=asked.response.text[:300],
            )
            self._expect_near(tenant, notes[-1 - number], when)
            # Calls of a running migration may arrive meanwhile: only those for the question count.
            models = sorted({call.model for call in asked.embedded if any(note_.ask in text for text in call.inputs)})
            expect_equal(
                models,
                [model],
                f"the model with which a question is embedded {when}",
                hint="Read the space in force from the database, together with the vectors.",
            )

    def _expect_near(self, tenant: str, note_: Note, when: str) -> None:
        """A question of which only the embedding is like a note's finds that note."""
        embedded = next((text for text in self._inputs if note_.document.canary in text), note_.document.text)
        # Digits are rare in words and codes of the drafts stand in capitals: nothing shares this word.
        ask = f"quulp{self.drafts.code().replace('-', '')}?"
        self.service.reader.teach(ask)
        with self.stage.model.embed_like(ask[:-1], embedded):
            asked = self.service.ask(tenant, ask, k=2)
        expect(
            asked.holds(note_.gold),
            f"the note with the very same embedding as the question is not among the first two {when}",
            expected=note_.gold,
            observed=asked.prompts and asked.prompt.texts,
            hint="Vectors of two spaces are compared with each other, or the question's vector with none at all.",
        )
