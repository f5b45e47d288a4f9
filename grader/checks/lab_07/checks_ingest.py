"""Task ingest: created, updated, unchanged, deleted."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from grader.checking import Response, Stage, check, expect, expect_equal, note

from .corpus import Corpus
from .drafts import Drafts, edition
from .expectations import expect_error
from .service import Service, fresh_tenant
from .storage import holds_vector, places_keeping, tables_holding, vector_columns

BIG = {"k": 20, "max_prompt_tokens": 8000}


@check(task="ingest")
def stores_a_new_document(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A new document is created, embedded with EMBEDDING_MODEL, and found as soon as the PUT is answered."""
    tenant, note_ = fresh_tenant(rng), drafts.note()
    mark = service.stage.model.journal.mark()
    response = service.store(tenant, note_.document)
    expect(
        response.status == 201,
        "the first PUT of a document is not a 201",
        expected="201, status created",
        observed=f"{response.status} {response.text[:300]}",
    )
    expected = {"document_id": note_.document.document_id, "status": "created", "chunks": 1}
    expect_equal(_receipt(response), expected, "the body", hint="A text of at most 400 characters is one chunk.")
    embedded = service.embeddings(mark)
    expect(embedded, "no embedding was asked for", expected="POST /v1/embeddings", hint="Is OPENAI_BASE_URL used?")
    expect_equal(sorted({request.model for request in embedded}), ["meridian-embed-1"], "the embedding model")
    service.reader.teach(note_.ask, note_.gold)
    asked = service.ask(tenant, note_.ask)
    expect(
        asked.holds(note_.gold),
        "the document that was just stored is not in the prompt",
        expected=note_.gold,
        observed=asked.prompt.texts,
    )


@check(task="ingest", after=("stores_a_new_document",))
def keeps_vectors_in_pgvector(stage: Stage, service: Service, drafts: Drafts, rng: random.Random) -> None:
    """The vectors that the model gave stand in columns of pgvector's types, and texts stand in tables."""
    tenant, note_ = fresh_tenant(rng), drafts.note()
    mark = stage.model.journal.mark()
    service.keep(tenant, note_.document)
    expect(
        tables_holding(stage, note_.gold, tenant),
        "the text of a document is in no table that can be read",
        expected=f"a row that holds {note_.gold!r}, readable with your own DATABASE_URL",
        observed="no row holds it",
        hint="Is it compressed, or in memory or in files only? All state lives in the database.",
    )
    columns = vector_columns(stage)
    expect(
        columns,
        "no table has a column of type vector or halfvec",
        expected="at least one, with the embeddings",
        observed=[f"{relation.name} {relation.columns}" for relation in stage.database.relations()],
    )
    expect(
        any(columns.values()),
        "the vector columns are empty",
        expected="the embedding of each chunk",
        observed=sorted(columns),
    )
    inputs = [text for call in service.embeddings(mark) for text in call.inputs if note_.document.canary in text]
    given = [stage.model.vector_of("meridian-embed-1", text) for text in inputs]
    expect(
        any(holds_vector(stage, vector, tenant) for vector in given),
        "no vector column holds the vector that the model gave for a document",
        expected=f"the embedding of {inputs[:1]}",
        observed=sorted(columns),
        hint="Store what you were given: a search in the database must be able to find it.",
    )


@check(task="ingest", after=("stores_a_new_document",))
def leaves_an_unchanged_document_alone(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Storing the same title, text and collection again embeds nothing; going back to an older version does."""
    tenant = fresh_tenant(rng)
    first = drafts.note(collection="tariffs").document
    text = edition(rng, drafts.subject()).text
    long = replace(first, document_id="long", text=text)
    chunks = {document.document_id: _receipt(service.store(tenant, document))["chunks"] for document in (first, long)}
    mark = service.stage.model.journal.mark()
    for document in (first, long, first):
        response = service.store(tenant, document)
        expect_equal(response.status, 200, "the status of a PUT of what is stored")
        expect_equal(
            _receipt(response),
            {"document_id": document.document_id, "status": "unchanged", "chunks": chunks[document.document_id]},
            "the body of a PUT of what is stored",
        )
    _expect_no_embedding(service, mark, "an unchanged document")
    second = replace(first, text=drafts.note().document.text)
    for document, status in ((second, "updated"), (first, "updated"), (first, "unchanged")):
        expect_equal(
            _receipt(service.store(tenant, document))["status"],
            status,
            "the status word",
            hint="Compare with what is stored now, not with everything that was ever stored.",
        )


@check(task="ingest", after=("leaves_an_unchanged_document_alone",))
def counts_title_and_collection_as_content(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A document is updated when only its title, or only its collection, or only their borders change."""
    tenant, note_ = fresh_tenant(rng), drafts.note(collection="alpha")
    first = note_.document
    service.keep(tenant, first)
    other_title = replace(first, title="A title that is new")
    moved = replace(other_title, collection="beta")
    shifted = replace(moved, title=moved.title[:-3], text=moved.title[-3:] + moved.text)
    swapped = replace(shifted, title=shifted.title + shifted.collection, collection="")
    for document, change in (
        (other_title, "only the title changed"),
        (moved, "only the collection changed"),
        (shifted, "the end of the title moved to the beginning of the text"),
        (swapped, "the collection moved to the end of the title"),
    ):
        response = service.store(tenant, document)
        expect_equal(
            [response.status, _receipt(response)["status"]],
            [200, "updated"],
            f"the answer when {change}",
            hint="The hash covers title, text and collection, with their lengths or a separator.",
        )
    service.keep(tenant, moved)
    service.reader.teach(note_.ask, note_.gold)
    expect(
        service.ask(tenant, note_.ask, collection="beta").holds(note_.gold), "the document is not in its new collection"
    )
    expect_equal(
        len(service.ask(tenant, note_.ask, collection="alpha").prompts),
        0,
        "the number of model calls for the collection that the document has left",
    )


@check(task="ingest", after=("leaves_an_unchanged_document_alone",), seconds=30)
def remembers_after_a_kill(stage: Stage, service: Service, drafts: Drafts, rng: random.Random) -> None:
    """After kill -9 and a restart everything is still there, and what is unchanged is not embedded again."""
    tenant, notes = fresh_tenant(rng), drafts.notes(5)
    service.keep(tenant, *(note_.document for note_ in notes))
    stage.restart(kill=True)
    mark = stage.model.journal.mark()
    for note_ in notes:
        expect_equal(
            _receipt(service.store(tenant, note_.document))["status"],
            "unchanged",
            "the status after a restart",
            hint="The content's hash belongs in the database.",
        )
    _expect_no_embedding(service, mark, "a document that was stored before the restart")
    service.reader.teach(notes[2].ask, notes[2].gold)
    expect(
        service.ask(tenant, notes[2].ask).holds(notes[2].gold),
        "a document is lost after kill -9",
        observed=notes[2].gold,
    )


@check(task="ingest", after=("stores_a_new_document",))
def leaves_nothing_of_the_old_version(stage: Stage, service: Service, drafts: Drafts, rng: random.Random) -> None:
    """After an update by a shorter text no row and no prompt holds a word of the old one."""
    tenant, subject = fresh_tenant(rng), drafts.subject()
    old, new = edition(rng, subject, sections=40), edition(rng, subject, sections=2)
    prose = drafts.prose()
    put = {"title": "Rules", "collection": "rules"}
    service.put(tenant, "rules", text=edition(rng, subject, sections=12).text, **put)
    text = f"{old.text}\n\n{prose}"
    expect_equal(_receipt(service.put(tenant, "rules", text=text, **put))["status"], "updated", "the status word")
    expect(
        tables_holding(stage, old.sections[-1], tenant),
        "the new text of a document is in no table when its PUT is answered",
        expected=f"a row that holds {old.sections[-1]}",
        observed="no row holds it",
        hint="When you answer, the document can be found: commit before you answer.",
    )
    expect_equal(_receipt(service.put(tenant, "rules", text=new.text, **put))["status"], "updated", "the status word")
    expect_equal(
        [*tables_holding(stage, old.mark, tenant), *places_keeping(stage, prose, tenant)],
        [],
        "the places that still hold the old text",
        hint="A shorter version has fewer chunks: delete all of the old ones, do not overwrite by number. Nor may a "
        "history or a cache keep them, in whatever form.",
    )
    ask = f"What is the fee by rule {old.sections[9]} for {subject}?"
    service.reader.teach(ask)
    texts = service.ask(tenant, ask, **BIG).prompt.texts
    expect(not old.seen_in(texts), "a prompt holds text of a version that was replaced", observed=texts)
    expect_equal(sorted(new.seen_in(texts)), sorted(new.sections), "the sections of the new version in the prompt")


@check(task="ingest", after=("leaves_nothing_of_the_old_version",))
def erases_a_deleted_document(stage: Stage, service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A deleted document is in no row and no prompt; deleting it again is a 404, storing it again a 201."""
    tenant, notes = fresh_tenant(rng), drafts.notes(2)
    gone, stays = notes
    prose = drafts.prose()
    gone = replace(gone, document=replace(gone.document, text=f"{gone.document.text} {prose}"))
    service.keep(tenant, gone.document, stays.document)
    response = service.delete(tenant, gone.document.document_id)
    expect_equal(response.status, 204, "the status of the DELETE")
    expect_equal(
        [*tables_holding(stage, gone.document.canary, tenant), *places_keeping(stage, prose, tenant)],
        [],
        "the places that still hold the deleted text",
        hint="Deleted means erased: no flag, no history, no cache, no full-text copy.",
    )
    for unknown in (gone.document.document_id, "never-stored"):
        expect_error(service.delete(tenant, unknown), (404,), None, f"DELETE of {unknown!r}, which is not there")
    service.reader.teach(gone.ask, gone.gold)
    asked = service.ask(tenant, gone.ask)
    expect(not asked.holds(gone.gold), "a prompt holds the text of a deleted document", observed=gone.gold)
    expect(asked.holds(stays.gold), "the tenant's other document was lost as well", expected=stays.gold)
    mark = stage.model.journal.mark()
    expect_equal(_receipt(service.store(tenant, gone.document))["status"], "created", "the status of storing it again")
    expect(service.embeddings(mark), "a document that was deleted and stored again was not embedded")
    expect(service.ask(tenant, gone.ask).holds(gone.gold), "a document that was stored again is not found")


@check(task="ingest", after=("stores_a_new_document",))
def refuses_what_breaks_a_limit(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Bodies and ids that break a limit are refused, and nothing is sent upstream."""
    tenant = fresh_tenant(rng)
    service.keep(tenant, drafts.note().document)
    good = {"title": "t", "text": "A text.", "collection": "c"}
    documents: list[tuple[str, Any]] = [
        ("a%20b", good),
        ("x" * 81, good),
        ("caf%C3%A9", good),
        ("a%3Bb", good),
        ("no-title", {"text": "A text."}),
        ("empty-title", good | {"title": ""}),
        ("long-title", good | {"title": "t" * 201}),
        ("no-text", {"title": "t"}),
        ("empty-text", good | {"text": ""}),
        ("long-text", good | {"text": "t " * 100_001}),
        ("null-text", good | {"text": None}),
        ("list-text", good | {"text": ["A text."]}),
        ("long-collection", good | {"collection": "c" * 81}),
        ("nul-in-text", good | {"text": "A text with \0 in it."}),
        ("nul-in-title", good | {"title": "A title\0"}),
        ("nul-in-collection", good | {"collection": "c\0"}),
        ("body-is-a-list", [good]),
    ]
    questions: list[Any] = [
        {},
        {"question": ""},
        {"question": "q" * 2001},
        {"question": None},
        {"question": "Where\0?"},
        {"question": "Where?", "collection": "c\0"},
        {"question": "Where?", "collection": "c" * 81},
        ["q"],
        *({"question": "Where?", "k": k} for k in (0, 21, -1, "many", 2.5)),
        *({"question": "Where?", "max_prompt_tokens": budget} for budget in (599, 8001, "all")),
    ]
    mark = service.stage.model.journal.mark()
    program, headers = service.stage.program, {"X-Tenant": tenant}
    for document_id, body in documents:
        response = program.put(f"/documents/{document_id}", json=body, headers=headers)
        if body is good:  # the id is what is wrong, and a router may say so in its own way
            expect(
                response.status in (400, 404, 422),
                f"PUT /documents/{document_id[:30]}, an id that breaks its limit, is accepted",
                expected="400 or 422",
                observed=f"{response.status} {response.text[:300]}",
            )
            continue
        expect_error(response, (400, 422), None, f"PUT /documents/{document_id[:30]} with {str(body)[:80]}")
    for body in questions:
        response = program.post("/ask", json=body, headers=headers)
        expect_error(response, (400, 422), None, f"POST /ask with {str(body)[:80]}")
    for path, method in (("/documents/broken", "PUT"), ("/ask", "POST")):
        response = program.request(
            method, path, body=b'{"title": "t", "text": ', headers=headers | {"content-type": "application/json"}
        )
        expect_error(response, (400, 422), None, f"{method} {path} with half a JSON body")
    expect_equal(len(service.upstream(mark)), 0, "the number of calls upstream for refused requests")


@check(task="ingest", after=("refuses_what_breaks_a_limit",), seconds=30)
def accepts_what_is_at_a_limit(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """The longest id, title, text, collection and question are accepted, and a text of 400 characters is one chunk."""
    tenant = fresh_tenant(rng)
    at_400 = ("Hall nine is swept. " * 20)[:399] + "."
    chunks = _receipt(service.put(tenant, "four-hundred", title="t", text=at_400))["chunks"]
    expect_equal(chunks, 1, "the number of chunks of a text of 400 characters")
    at_400 = ("Ümlaut — ½ 漢字 & <ß>. " * 40)[:400]
    chunks = _receipt(service.put(tenant, "four-hundred-wide", title="t", text=at_400))["chunks"]
    expect_equal(
        chunks, 1, "the number of chunks of a text of 400 characters that are not ASCII", hint="Characters, not bytes."
    )
    wide = service.put(tenant, "wide-title", title="漢" * 200, text="A text.")
    expect_equal(wide.status, 201, "the status for a title of 200 characters that are not ASCII", hint="Not bytes.")
    subject = drafts.subject()
    paragraph = "The ramp is swept at noon and again at night, when the last of the trucks has left.\n\n"
    long = (paragraph * 2400)[: 200_000 - 120] + f"\n\nThe last rule of {subject} is short."
    document_id, collection = ("Az09._-" * 12)[:80], "c" * 80
    response = service.put(tenant, document_id, title="T" * 200, text=long.ljust(200_000, "."), collection=collection)
    expect_equal(
        response.status,
        201,
        "the status for 200,000 characters of text and 80 of id and collection",
        hint="One request for embeddings holds at most 2,048 inputs.",
    )
    expect_equal(_receipt(response)["document_id"], document_id, "document_id")
    ask = (f"What is the last rule of {subject}? " * 60)[:2000]
    service.reader.teach(ask, f"The last rule of {subject} is short.")
    asked = service.ask(tenant, ask, k=20, max_prompt_tokens=8000, collection=collection)
    expect(
        asked.holds(f"The last rule of {subject} is short."),
        "the end of a long document is not found",
        expected=f"a passage that holds {f'The last rule of {subject} is short.'!r}",
        observed=f"{len(asked.prompt.texts)} passages were sent, none holds it; the first: {asked.prompt.texts[:1]}",
        hint="Either the end was not stored, or what only the word search finds loses against the many equal chunks "
        "that both searches find.",
    )


@check(task="ingest", after=("stores_a_new_document",), seconds=20)
def embeds_every_part_of_a_document(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Each section of a long document is embedded, and PUT says truly into how many chunks it went."""
    tenant, subject = fresh_tenant(rng), drafts.subject()
    long = edition(rng, subject, sections=100)
    mark = service.stage.model.journal.mark()
    chunks = _receipt(service.put(tenant, "long-rules", title="Rules", text=long.text))["chunks"]
    inputs = tuple(text for call in service.embeddings(mark) for text in call.inputs)
    missing = sorted(set(long.sections) - long.seen_in(inputs))
    expect(
        not missing,
        "parts of a document were never embedded",
        expected=f"each of {len(long.sections)} sections in an input of POST /v1/embeddings",
        observed=f"{len(missing)} are in none, as {missing[:3]}",
        hint="One vector for a whole document finds its beginning only.",
    )
    ask = f"What is the fee by the rules for {subject}?"
    service.reader.teach(ask)
    sent = len(service.ask(tenant, ask, **BIG).prompt.passages)
    expect(
        isinstance(chunks, int) and chunks >= sent,
        "`chunks` in the answer to a PUT is not the number of its chunks",
        expected=f"at least {sent}: so many passages of it were sent",
        observed=chunks,
    )


@check(task="ingest", after=("stores_a_new_document",), seconds=90)
def ingests_the_corpus(stage: Stage, service: Service, corpus: Corpus) -> None:
    """Three handbooks and the Python topics, some 200 documents, are stored by four clients at once."""
    mark = stage.model.journal.mark()
    count = corpus.store(stage, service)
    calls = service.embeddings(mark)
    note(f"{count} documents, {sum(len(call.inputs) for call in calls):,} texts embedded in {len(calls):,} calls")


def _receipt(response: Response) -> dict[str, Any]:
    """The promised fields of the answer to a PUT; others may stand beside them."""
    body = response.json()
    expect(isinstance(body, dict), "the answer to a PUT is not a JSON object", observed=body)
    return {key: body.get(key) for key in ("document_id", "status", "chunks")}


def _expect_no_embedding(service: Service, mark: int, what: str) -> None:
    calls = service.embeddings(mark)
    expect(
        not calls,
        f"{what} was embedded again",
        expected="no call of /v1/embeddings",
        observed=f"{len(calls)} calls, the first for {calls[0].inputs[:1] if calls else ''}",
        hint="Compare a hash of title, text and collection with the stored one before you embed.",
    )
