"""Task spaces: two embedding spaces never mix, and moving from one to the other is online and all or nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from grader.checking import Fail, FreshStage, Request, Stage, check, expect, expect_equal

from .drafts import Drafts, Note
from .expectations import expect_error
from .reader import Reader
from .service import InBackground, Service, fresh_tenant

ONE, TWO, MINI = "meridian-embed-1", "meridian-embed-2", "meridian-embed-2-mini"
ARRIVAL_SECONDS = 8.0


class Migration:
    """A stage with two tenants' notes, made with one embedding model and restarted with another."""

    def __init__(self, fresh_stage: FreshStage, drafts: Drafts, rng: random.Random, old: str, new: str) -> None:
        self.stage: Stage = fresh_stage({"EMBEDDING_MODEL": old})
        self.service = Service(self.stage, Reader())
        self.old, self.new = old, new
        self.tenants = [fresh_tenant(rng), fresh_tenant(rng)]
        self.notes: dict[str, list[Note]] = {tenant: drafts.notes(7) for tenant in self.tenants}
        self.expect_space(old, None, "in an empty database")
        for tenant, notes in self.notes.items():
            self.service.keep(tenant, *(note_.document for note_ in notes))
            for note_ in notes:
                self.service.reader.teach(note_.ask, note_.gold)
        self.stage.restart({"EMBEDDING_MODEL": new})

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
        for tenant, notes in self.notes.items():
            for note_ in notes[:2]:
                asked = self.service.ask(tenant, note_.ask, k=3)
                expect(
                    asked.holds(note_.gold),
                    f"a document is not found {when}",
                    expected=note_.gold,
                    observed=asked.response.text[:300],
                )
                models = sorted({request.model for request in asked.embedded})
                expect_equal(
                    models,
                    [model],
                    f"the model with which a question is embedded {when}",
                    hint="Read the space in force from the database, together with the vectors.",
                )


@check(task="spaces", after=("answers_with_a_citation",), seconds=30)
def stays_in_the_stored_space(fresh_stage: FreshStage, drafts: Drafts, rng: random.Random) -> None:
    """Started with another embedding model, the service answers in the stored space and takes no new vectors."""
    moving = Migration(fresh_stage, drafts, rng, ONE, TWO)
    service, tenant = moving.service, moving.tenants[1]
    moving.expect_space(ONE, 256, "before the migration")
    moving.expect_answers_in(ONE, "before the migration")
    stored, other = moving.notes[tenant][:2]
    mark = service.stage.model.journal.mark()
    for document_id, what in (("brand-new", "a new document"), (stored.document.document_id, "an update")):
        response = service.put(tenant, document_id, title="New", text=drafts.note().document.text)
        expect_error(response, (409,), "embedding_space", f"PUT of {what} before the migration")
    expect_equal(len(service.upstream(mark)), 0, "the number of calls upstream for refused PUTs")
    expect(
        service.ask(tenant, stored.ask).holds(stored.gold),
        "a refused update changed the document",
        expected=stored.gold,
    )
    expect_equal(
        service.store(tenant, stored.document).json().get("status"), "unchanged", "the status of what is stored"
    )
    expect_equal(service.delete(tenant, other.document.document_id).status, 204, "the status of a DELETE")


@check(task="spaces", after=("stays_in_the_stored_space",), seconds=40)
def migrates_online_and_whole(fresh_stage: FreshStage, drafts: Drafts, rng: random.Random) -> None:
    """A failed /reembed leaves the old space whole, a running one disturbs no question, a finished one moves all."""
    moving = Migration(fresh_stage, drafts, rng, ONE, TWO)
    service, stage = moving.service, moving.stage
    program = stage.program
    late = moving.notes[moving.tenants[1]][-1].document.canary

    def fails(request: Request) -> bool:
        return moving.into_new(request) and any(late in text for text in request.inputs)

    with stage.model.fault(fails, Fail(500)):
        response = program.post("/reembed", headers=moving.headers)
    expect_error(response, (502,), "upstream", "POST /reembed when an embedding fails")
    moving.expect_space(ONE, 256, "after a failed /reembed")
    moving.expect_answers_in(ONE, "after a failed /reembed")
    with stage.model.hold(moving.into_new) as held:
        running = InBackground(lambda: program.post("/reembed", headers=moving.headers, seconds=20))
        expect(held.arrived.wait(ARRIVAL_SECONDS), "/reembed asks for no embedding", expected=f"calls for {TWO}")
        moving.expect_space(ONE, 256, "while /reembed runs")
        moving.expect_answers_in(ONE, "while /reembed runs")
        held.release()
        response = running.result()
    expect_equal(response.status, 200, "the status of /reembed")
    expected = {"model": TWO, "dimensions": 256, "chunks": 14}
    body = response.json()
    expect_equal(
        {key: body.get(key) for key in expected},
        expected,
        "the answer to /reembed",
        hint="All tenants' chunks, one a note here.",
    )
    moving.expect_space(TWO, 256, "after /reembed")
    moving.expect_answers_in(TWO, "after /reembed")
    mark = stage.model.journal.mark()
    expect_equal(
        program.post("/reembed", headers=moving.headers).status, 200, "the status when there is nothing to migrate"
    )
    for tenant in moving.tenants:
        status = service.store(tenant, moving.notes[tenant][0].document).json().get("status")
        expect_equal(status, "unchanged", "the status of what was stored before the migration")
    expect_equal(len(service.embeddings(mark)), 0, "the number of embedding calls when there is nothing to migrate")


@check(task="spaces", after=("stays_in_the_stored_space",), seconds=40)
def migrates_to_other_dimensions(fresh_stage: FreshStage, drafts: Drafts, rng: random.Random) -> None:
    """Vectors may become shorter: 256 to 128 dimensions, still there after kill -9, and new documents join them."""
    moving = Migration(fresh_stage, drafts, rng, TWO, MINI)
    stage, service, tenant = moving.stage, moving.service, moving.tenants[0]
    moving.expect_space(TWO, 256, "before the migration")
    body = stage.program.post("/reembed", headers=moving.headers).json()
    expected = {"model": MINI, "dimensions": 128, "chunks": 14}
    expect_equal(
        {key: body.get(key) for key in expected},
        expected,
        "the answer to /reembed",
        hint="A column vector(256) takes no other length: add a column or a table for the new space.",
    )
    stage.restart(kill=True)
    moving.expect_space(MINI, 128, "after kill -9")
    moving.expect_answers_in(MINI, "after kill -9")
    mark, late = stage.model.journal.mark(), drafts.note()
    expect_equal(service.store(tenant, late.document).status, 201, "the status of a new document in the new space")
    expect_equal(sorted({request.model for request in service.embeddings(mark)}), [MINI], "the model of a new document")
    service.reader.teach(late.ask, late.gold)
    expect(
        service.ask(tenant, late.ask, k=3).holds(late.gold),
        "a document that was stored after the migration is not found",
    )
