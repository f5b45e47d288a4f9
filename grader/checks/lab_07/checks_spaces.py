"""Task spaces: two embedding spaces never mix, and moving from one to the other is online and all or nothing."""

from __future__ import annotations

from grader.checking import Fail, Request, check, expect, expect_equal

from .expectations import expect_error
from .migration import MINI, ONE, TWO, Migration
from .service import InBackground

ARRIVAL_SECONDS = 8.0


@check(task="spaces", after=("answers_with_a_citation",), seconds=30)
def stays_in_the_stored_space(migration: Migration) -> None:
    """Started with another embedding model, the service answers in the stored space and takes no new vectors."""
    migration.restart(TWO)
    service, tenant = migration.service, migration.tenants[1]
    migration.expect_space(ONE, 256, "before the migration")
    migration.expect_answers_in(ONE, "before the migration")
    stored, other = migration.notes[tenant][-2:]
    mark = service.stage.model.journal.mark()
    for document_id, what in (("brand-new", "a new document"), (stored.document.document_id, "an update")):
        response = service.put(tenant, document_id, title="New", text=migration.drafts.note().document.text)
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
def migrates_online_and_whole(migration: Migration) -> None:
    """A failed /reembed leaves the old space whole, a running one disturbs no question, a finished one moves all."""
    migration.restart(TWO)
    service, stage = migration.service, migration.stage
    program = stage.program
    late = migration.notes[migration.tenants[1]][-1].document.canary

    def fails(request: Request) -> bool:
        return migration.into_new(request) and any(late in text for text in request.inputs)

    with stage.model.fault(fails, Fail(500)):
        response = program.post("/reembed", headers=migration.headers)
    expect_error(response, (502,), "upstream", "POST /reembed when an embedding fails")
    migration.expect_space(ONE, 256, "after a failed /reembed")
    migration.expect_answers_in(ONE, "after a failed /reembed")
    with stage.model.hold(migration.into_new) as held:
        running = InBackground(lambda: program.post("/reembed", headers=migration.headers, seconds=20))
        expect(held.arrived.wait(ARRIVAL_SECONDS), "/reembed asks for no embedding", expected=f"calls for {TWO}")
        migration.expect_space(ONE, 256, "while /reembed runs")
        migration.expect_answers_in(ONE, "while /reembed runs")
        held.release()
        response = running.result()
    expect_equal(response.status, 200, "the status of /reembed")
    expected = {"model": TWO, "dimensions": 256, "chunks": migration.chunks}
    body = response.json()
    expect_equal(
        {key: body.get(key) for key in expected},
        expected,
        "the answer to /reembed",
        hint="All tenants' chunks, one a note here.",
    )
    migration.expect_space(TWO, 256, "after /reembed")
    migration.expect_answers_in(TWO, "after /reembed")
    mark = stage.model.journal.mark()
    status = program.post("/reembed", headers=migration.headers).status
    expect_equal(status, 200, "the status when there is nothing to migrate")
    for tenant in migration.tenants:
        word = service.store(tenant, migration.notes[tenant][0].document).json().get("status")
        expect_equal(word, "unchanged", "the status of what was stored before the migration")
    expect_equal(len(service.embeddings(mark)), 0, "the number of embedding calls when there is nothing to migrate")


@check(task="spaces", after=("stays_in_the_stored_space",), seconds=40)
def migrates_to_other_dimensions(migration: Migration) -> None:
    """Vectors may become shorter: 256 to 128 dimensions; the new vectors are kept, and new documents join them."""
    service, tenant = migration.service, migration.tenants[0]
    migration.restart(MINI)
    migration.expect_space(ONE, 256, "before the migration")
    body = migration.stage.program.post("/reembed", headers=migration.headers).json()
    expected = {"model": MINI, "dimensions": 128, "chunks": migration.chunks}
    expect_equal(
        {key: body.get(key) for key in expected},
        expected,
        "the answer to /reembed",
        hint="A column vector(256) takes no other length: add a column or a table for the new space.",
    )
    migration.expect_space(MINI, 128, "after the migration")
    migration.expect_answers_in(MINI, "after the migration")
    mark, late = migration.stage.model.journal.mark(), migration.drafts.note()
    expect_equal(service.store(tenant, late.document).status, 201, "the status of a new document in the new space")
    models = sorted({request.model for request in service.embeddings(mark)})
    expect_equal(models, [MINI], "the model of a new document")
    service.reader.teach(late.ask, late.gold)
    found = service.ask(tenant, late.ask, k=3).holds(late.gold)
    expect(found, "a document that was stored after the migration is not found", expected=late.gold)
