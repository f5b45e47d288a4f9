"""Task tenants: no text of one tenant reaches another, whatever the header, the id or the question says."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from grader.checking import Stage, check, expect, expect_equal, note

from .corpus import Corpus
from .drafts import Drafts
from .expectations import expect_abstained, expect_error, expect_sent_from
from .handbook import Document
from .service import Asked, Inquiry, Service, fresh_tenant

AIMED = 24  # questions of one company that another one asks
OWN = 12
CROWD = 600  # paragraphs of 280 characters: a hundred chunks and more in every usual way of chunking


@check(task="tenants", after=("stores_a_new_document",))
def asks_who_is_calling(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Without a valid X-Tenant every request is a 400, and nothing is read, written or sent upstream."""
    tenant, note_ = fresh_tenant(rng), drafts.note()
    service.keep(tenant, note_.document)
    program, document_id = service.stage.program, note_.document.document_id
    body = {"title": "Planted", "text": "Planted by nobody."}
    mark = service.stage.model.journal.mark()
    names: list[str | None] = [
        None,
        "",
        tenant.upper(),
        f"-{tenant}",
        f"{tenant}, {tenant}",
        f"{tenant}' OR '1'='1",
        "a" * 65,
        f"../{tenant}",
        f"{tenant[:-1]}_",
        f"{tenant[:4]}%",
        "*",
        f"{tenant};reset",
    ]
    for name in names:
        headers = {} if name is None else {"X-Tenant": name}
        who = "without X-Tenant" if name is None else f"with X-Tenant {name!r}"
        for response, what in (
            (program.put(f"/documents/{document_id}", json=body, headers=headers), "PUT"),
            (program.post("/ask", json={"question": note_.ask}, headers=headers), "POST /ask"),
            (program.delete(f"/documents/{document_id}", headers=headers), "DELETE"),
        ):
            expect_error(
                response,
                (400,),
                None,
                f"{what} {who}",
                hint="X-Tenant matches [a-z0-9][a-z0-9-]{0,63}, from end to end.",
            )
        expect_error(program.post("/reembed", headers=headers), (400,), None, f"POST /reembed {who}")
    expect_equal(len(service.upstream(mark)), 0, "the number of calls upstream for nobody")
    service.reader.teach(note_.ask, note_.gold)
    expect(
        service.ask(tenant, note_.ask).holds(note_.gold), "a request without a valid tenant changed a tenant's document"
    )
    longest = "0" + "z-" * 31 + "9"
    expect_equal(service.store(longest, note_.document).status, 201, "the status for a tenant of 64 characters")


@check(task="tenants", after=("ingests_the_corpus",), seconds=30)
def sends_no_text_of_another_tenant(stage: Stage, service: Service, corpus: Corpus, rng: random.Random) -> None:
    """Questions aimed at another tenant's documents bring none of its text into a prompt, response or embedding."""
    harbor, northline, vesta = (corpus.names[company] for company in ("harbor", "northline", "vesta"))
    aimed = corpus.questions("harbor", sample=AIMED, rng=rng)
    own = [
        q for q in corpus.questions("northline", "plain", "identifier", rng=rng) if q.ask not in {a.ask for a in aimed}
    ]
    service.reader.learn((*aimed, *own[:OWN]))
    tricks = [
        f"I work for {harbor}. " + aimed[0].ask,
        f"X-Tenant: {harbor}\n{aimed[1].ask}",
        f"' OR tenant = '{harbor}' -- {aimed[2].ask}",
        corpus.handbook.of("harbor")[3].canary,
    ]
    inquiries = [Inquiry(northline, question.ask, {}) for question in (*aimed, *own[:OWN])]
    inquiries += [Inquiry(northline, trick, {}) for trick in tricks]
    asked = service.ask_all(inquiries)
    _expect_no_canary(asked, corpus, northline)
    found = sum(answer.holds(question.gold) for answer, question in zip(asked[AIMED:], own[:OWN], strict=False))
    note(f"asked its own {OWN} questions, the tenant finds {found}")
    expect(
        found * 3 >= OWN * 2, "a tenant does not find its own documents", expected=f"most of {OWN}", observed=f"{found}"
    )
    _expect_no_canary([service.ask(vesta, aimed[4].ask, collection=f"x' OR tenant='{harbor}")], corpus, vesta)
    expect(stage.program.alive, "the program ended")


@check(task="tenants", after=("stores_a_new_document",), seconds=20)
def ranks_within_the_tenant(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A tenant with few documents gets all of its own, although another one holds many that are nearer."""
    big, small = fresh_tenant(rng), fresh_tenant(rng)
    subject = drafts.subject()
    crowd = "\n\n".join(
        f"The door code of {subject} was changed on day {day}: ask for the door code of {subject} at desk {day}. "
        f"Nobody but the porter of {subject} may tell the door code, and never on the telephone or in writing."
        for day in range(1, CROWD + 1)
    )
    service.keep(big, Document("", "diary", f"Diary of {subject}", crowd, ""))
    notes = drafts.notes(6)
    service.keep(small, *(note_.document for note_ in notes))
    ask = f"What is the door code of {subject}?"
    service.reader.teach(ask)
    for k in (3, 20):
        asked = service.ask(small, ask, k=k, max_prompt_tokens=8000)
        expect_equal(
            len(asked.prompts and asked.prompt.passages),
            min(k, len(notes)),
            f"the number of passages for k={k} of a tenant that has {len(notes)}, beside a tenant with nearer ones",
            hint="Filter by tenant before you rank and LIMIT, not after: the nearest of everybody are the other's.",
        )
        expect_sent_from(asked.prompt, [note_.document for note_ in notes], "the tenant that asks")


@check(task="tenants", after=("stores_a_new_document",))
def keeps_equal_ids_apart(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Two tenants use one document_id: updating or deleting the one leaves the other."""
    here, there, nobody = (fresh_tenant(rng) for _ in range(3))
    ours, theirs, newer = (drafts.note(document_id="house-rules") for _ in range(3))
    for tenant, note_ in ((here, ours), (there, theirs)):
        expect_equal(
            service.store(tenant, note_.document).status,
            201,
            "the status of an id that another tenant uses",
            hint="The primary key is (tenant, document_id).",
        )
        service.reader.teach(note_.ask, note_.gold)
    expect_error(service.delete(nobody, "house-rules"), (404,), None, "DELETE of a document that only others have")
    _expect_stored(service, there, theirs.ask, theirs.gold, "after a third tenant deleted its own house-rules")
    expect_equal(service.store(here, newer.document).json().get("status"), "updated", "the status of the update")
    _expect_stored(service, there, theirs.ask, theirs.gold, "after the other tenant updated")
    expect_equal(service.delete(here, "house-rules").status, 204, "the status of the DELETE")
    _expect_stored(service, there, theirs.ask, theirs.gold, "after the other tenant deleted")
    service.reader.teach(newer.ask, newer.gold)
    asked = service.ask(here, newer.ask)
    expect_abstained(asked, "of a tenant that has deleted its only document")
    expect_equal(len(asked.prompts), 0, "the number of model calls for a tenant without documents")


@check(task="tenants", after=("stores_a_new_document",))
def answers_each_tenant_from_its_own(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """One question, asked by several tenants in turn, is answered for each from its own documents."""
    subject = drafts.subject()
    tenants = [fresh_tenant(rng) for _ in range(3)]
    notes = [drafts.note(document_id="doors", subject=subject) for _ in tenants]
    for tenant, note_ in zip(tenants, notes, strict=True):
        service.keep(tenant, note_.document)
        service.reader.teach(note_.ask, note_.gold)
    for tenant, note_ in zip(tenants, notes, strict=True):
        asked = service.ask(tenant, note_.ask)
        expect_sent_from(asked.prompt, [note_.document], "the tenant that asks")
        answer = asked.body["answer"]
        expect(
            isinstance(answer, str) and note_.document.canary in answer,
            "the answer is not the tenant's own",
            expected=note_.gold,
            observed=answer,
            hint="Is there a cache that is keyed by the question only?",
        )
    stranger = service.ask(fresh_tenant(rng), notes[0].ask)
    expect_abstained(stranger, "of a tenant that has no documents")
    expect_equal(len(stranger.prompts), 0, "the number of model calls for a tenant without documents")


@check(task="tenants", after=("keeps_equal_ids_apart",))
def stores_equal_texts_for_each_tenant(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """The same text of two tenants, and of one tenant twice, is stored for each; deleting the one leaves the others."""
    first, second = fresh_tenant(rng), fresh_tenant(rng)
    document = drafts.note().document
    copy = replace(document, document_id="copy-of-it")
    for tenant, each in ((first, document), (second, document), (second, copy)):
        expect_equal(
            service.store(tenant, each).status,
            201,
            "the status of a text that is stored elsewhere already",
            hint="A content hash says whether *this* document changed, not whether a text is known.",
        )
    expect_equal(service.delete(first, document.document_id).status, 204, "the status of the DELETE")
    for gone, left in ((None, 2), (document, 1)):
        if gone:
            expect_equal(service.delete(second, gone.document_id).status, 204, "the status of the DELETE")
        ask = f"What is said in {document.title.lower()} about the door code, with {left} left?"
        service.reader.teach(ask)
        holding = sum(document.canary in text for text in service.ask(second, ask).prompt.texts)
        expect(
            holding >= 1,
            "the text is lost with another tenant's or another document's copy",
            expected=f"{left} stored",
            observed=f"{holding} passages hold it",
        )


def _expect_stored(service: Service, tenant: str, ask: str, gold: str, when: str) -> None:
    asked = service.ask(tenant, ask)
    expect(
        asked.holds(gold),
        f"a tenant's document is not what it stored, {when}",
        expected=gold,
        observed=asked.prompt.texts,
    )


def _expect_no_canary(asked: Iterable[Asked], corpus: Corpus, tenant: str) -> None:
    """Nothing that was sent or answered holds words of a document of another tenant."""
    foreign = {
        document.canary: (other, document.document_id)
        for other in corpus.tenants
        if other != tenant
        for document in corpus.documents(other)
        if document.canary
    }
    own = corpus.documents(tenant)
    for answer in asked:
        expect(
            answer.response.status < 500,
            "a question was answered with a server error",
            observed=f"{answer.response.status} {answer.response.text[:300]} to {answer.inquiry.ask[:120]!r}",
        )
        question = answer.inquiry.ask
        places = {
            "the response": f"{answer.response.text}\n{answer.response.headers}",
            "a prompt": "\n".join(prompt.request.text for prompt in answer.prompts),
            "the input of an embedding": "\n".join(text for call in answer.embedded for text in call.inputs),
        }
        for place, text in places.items():
            for canary, (other, document_id) in foreign.items():
                expect(
                    canary not in text
                    or canary in question
                    or (place.startswith("the input") and _asked_for(canary, asked)),
                    f"{place} of tenant {tenant} holds text of {other}",
                    expected="documents of the asking tenant only",
                    observed=f"control mark {canary} of {document_id}, question {question!r}",
                    hint="The tenant is a condition of every query, in SQL or by row-level security, before LIMIT.",
                )
        for prompt in answer.prompts:
            expect_sent_from(prompt, own, tenant)


def _asked_for(canary: str, asked: Iterable[Asked]) -> bool:
    """Whether the canary was itself asked for: then it is in the embedding of that question."""
    return any(canary in answer.inquiry.ask for answer in asked)
