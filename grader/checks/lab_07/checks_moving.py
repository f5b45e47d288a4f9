"""Task spaces: a migration that is met by a delete or a power cut, and a database that was emptied."""

from __future__ import annotations

from grader.checking import check, expect, expect_equal

from .migration import ONE, TWO, Migration
from .service import InBackground
from .storage import tables_holding

ARRIVAL_SECONDS = 8.0


@check(task="spaces", after=("migrates_online_and_whole",), seconds=40)
def survives_a_delete_and_a_kill_while_it_migrates(migration: Migration) -> None:
    """What is deleted during /reembed stays deleted; a kill -9 in the middle leaves the old space whole."""
    migration.restart(TWO)
    service, stage, tenant = migration.service, migration.stage, migration.tenants[0]
    gone = migration.notes[tenant].pop()
    with stage.model.hold(migration.into_new) as held:
        running = InBackground(lambda: stage.program.post("/reembed", headers=migration.headers, seconds=20))
        expect(held.arrived.wait(ARRIVAL_SECONDS), "/reembed asks for no embedding", expected=f"calls for {TWO}")
        stage.restart(kill=True)
    running.forget()
    migration.expect_space(ONE, 256, "after a kill -9 in the middle of /reembed")
    migration.notes[tenant].append(gone)
    migration.expect_answers_in(ONE, "after a kill -9 in the middle of /reembed")
    migration.notes[tenant].pop()
    with stage.model.hold(migration.into_new) as held:
        running = InBackground(lambda: stage.program.post("/reembed", headers=migration.headers, seconds=20))
        expect(
            held.arrived.wait(ARRIVAL_SECONDS), "a second /reembed asks for no embedding", expected=f"calls for {TWO}"
        )
        status = service.delete(tenant, gone.document.document_id).status
        expect_equal(status, 204, "the status of a DELETE while /reembed runs")
        held.release()
        response = running.result()
    expect_equal(response.status, 200, "the status of /reembed during which a document was deleted")
    expect_equal(
        tables_holding(stage, gone.document.canary, tenant),
        [],
        "the tables that hold a document which was deleted while /reembed ran",
        hint="Write the new vectors for the chunks that are still there.",
    )
    migration.expect_space(TWO, 256, "after /reembed")
    migration.expect_answers_in(TWO, "after /reembed")


@check(task="spaces", after=("stays_in_the_stored_space",), seconds=30)
def an_emptied_database_has_no_space(migration: Migration) -> None:
    """When the last chunk is deleted, the service started with another model takes that one."""
    service = migration.service
    for tenant, notes in migration.notes.items():
        for note_ in notes:
            expect_equal(service.delete(tenant, note_.document.document_id).status, 204, "the status of a DELETE")
    migration.restart(TWO)
    migration.expect_space(TWO, None, "in a database whose documents were all deleted")
    note_ = migration.drafts.note()
    expect_equal(
        service.store(migration.tenants[0], note_.document).status,
        201,
        "the status of a new document in a database that was emptied",
        hint="A database without any chunk has no space of its own.",
    )
