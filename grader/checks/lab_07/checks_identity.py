"""Tasks tenants and ingest: names that are nearly equal are different, and nobody hears of another's documents."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from grader.checking import Response, check, expect, expect_equal

from .drafts import Drafts
from .expectations import expect_error, expect_sent_from
from .handbook import Document
from .service import Service, fresh_tenant


@check(task="tenants", after=("keeps_equal_ids_apart",))
def keeps_alike_tenants_apart(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Tenants whose names differ in one character, the last of 64 too, never see each other's documents."""
    stem = f"{rng.getrandbits(24):06x}"
    names = [
        f"a{stem}" + "z" * 56 + "1",
        f"a{stem}" + "z" * 56 + "2",
        f"b{stem}-c",
        f"b{stem}c",
        f"b{stem}--c",
        f"{rng.randrange(10**9)}0",
        "x",
    ]
    notes = {name: drafts.note(document_id="same") for name in names}
    for name, note_ in notes.items():
        service.store(name, note_.document)
        service.reader.teach(note_.ask, note_.gold)
    for name, note_ in notes.items():
        asked = service.ask(name, note_.ask, k=20)
        expect_sent_from(asked.prompt, [note_.document], f"tenant {name}")
        expect(
            asked.holds(note_.gold),
            f"tenant {name!r} does not find its own document",
            expected=note_.gold,
            observed=asked.prompt.texts,
            hint="A name of 64 characters is a whole name: is it cut, hashed to little, or normalised?",
        )
    for name in names:
        expect_equal(service.delete(name, "same").status, 204, f"the status of the DELETE of {name!r}")


@check(task="tenants", after=("keeps_equal_ids_apart",))
def tells_nobody_of_others(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """What another tenant has stored is in no answer: not in an error, not in /health, not behind another route."""
    owner, stranger = fresh_tenant(rng), fresh_tenant(rng)
    theirs, ours = drafts.note(), drafts.note()
    path = f"/documents/{theirs.document.document_id}"
    service.keep(owner, theirs.document)
    service.keep(stranger, ours.document)
    service.reader.teach(ours.ask, ours.gold)
    asked = service.ask(stranger, ours.ask)
    expect(asked.holds(ours.gold), "a tenant does not find its own document", observed=asked.response.text)
    program, own = service.stage.program, {"X-Tenant": stranger}
    answers: Mapping[str, Response] = {
        "GET /health": program.get("/health"),
        "DELETE of its id by another tenant": program.delete(path, headers=own),
        "GET of its id by another tenant": program.get(path, headers=own),
        "GET of its id without a tenant": program.get(path),
        "GET /documents without a tenant": program.get("/documents"),
        "an /ask of another tenant": asked.response,
        "a refused /ask": program.post("/ask", json={"question": ""}, headers=own),
    }
    for what, response in answers.items():
        everything = f"{response.text}\n{response.headers}"
        expect(
            theirs.document.canary not in everything and theirs.document.title not in everything,
            f"{what} tells of another tenant's document",
            expected="nothing of it, in body and headers",
            observed=everything[:300],
        )


@check(task="ingest", after=("stores_a_new_document",))
def takes_ids_and_collections_exactly(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Ids and collections that differ in case or white space are different ones; "" is a collection of its own."""
    tenant = fresh_tenant(rng)
    upper, lower = drafts.note(document_id="Rules"), drafts.note(document_id="rules")
    for note_ in (upper, lower):
        expect_equal(
            service.store(tenant, note_.document).status,
            201,
            f"the status of the first PUT of {note_.document.document_id!r}",
        )
    expect_error(
        service.delete(tenant, "RULES"), (404,), None, "DELETE of 'RULES', where 'Rules' and 'rules' are stored"
    )
    names = ("Tariffs", "tariffs", " tariffs", "")
    notes = {name: drafts.note(collection=name) for name in names}
    service.keep(tenant, *(note_.document for note_ in notes.values()))
    ask = f"Which door codes are there, {drafts.code()}?"
    service.reader.teach(ask)
    for name, note_ in notes.items():
        expected = [note_.document] if name else [note_.document, upper.document, lower.document]
        prompt = service.ask(tenant, ask, collection=name, k=20).prompt
        expect_sent_from(prompt, expected, f"collection {name!r}")
        expect_equal(len(prompt.passages), len(expected), f"the number of passages of the collection {name!r}")


@check(task="ingest", after=("counts_title_and_collection_as_content",))
def counts_every_character_as_content(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A long text is updated when one digit in its middle changes, or one letter's case, or one sign for another."""
    tenant, code = fresh_tenant(rng), drafts.code()
    paragraphs = [f"Line {number} of {code}: the ramp holds {number + 20}²  tonnes." for number in range(360)]
    document = Document("", "long-list", "List", "\n\n".join(paragraphs), "")
    service.keep(tenant, document)
    middle = paragraphs[180]
    for before, after, what in (
        ("holds 200", "holds 201", "one digit in the middle of 20,000 characters changed"),
        ("ramp", "Ramp", "one letter became a capital"),
        ("²", "2", "² became 2"),
        ("  ", " ", "one of two spaces went"),
    ):
        changed = middle.replace(before, after)
        document = replace(document, text=document.text.replace(middle, changed))
        middle = changed
        status = service.store(tenant, document).json().get("status")
        expect_equal(
            status,
            "updated",
            f"the status when {what}",
            hint="Hash all of the text as it came: no prefix, no folding of case, no Unicode normalisation.",
        )
