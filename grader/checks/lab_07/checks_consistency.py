"""Task consistency: old or new, never both, never neither."""

from __future__ import annotations

import itertools
import json
import random
import threading

from grader.checking import Fail, FreshStage, Garbage, Mismatch, check, expect, expect_equal

from .drafts import Drafts, Edition, edition
from .expectations import expect_error
from .passages import Prompt
from .reader import Reader
from .service import Asked, InBackground, Service, chat_about, embedding_of, fresh_tenant
from .storage import refusing_rows

ALL = {"k": 20, "max_prompt_tokens": 8000}
FLIPS = 24
ASKERS = 3
ROUNDS = 8
ARRIVAL_SECONDS = 5.0


class Rules:
    """One document of one tenant that is stored in edition after edition."""

    def __init__(self, service: Service, drafts: Drafts, rng: random.Random) -> None:
        self.service = service
        self.tenant = fresh_tenant(rng)
        self._rng = rng
        self.subject = drafts.subject()
        self._asked = itertools.count(1)

    def next(self) -> Edition:
        return edition(self._rng, self.subject)

    def ask(self) -> Asked:
        """A question that brings all of the document into the prompt, never twice in the same words."""
        ask = f"Question {next(self._asked)}: what is the fee for {self.subject}, and who signs exceptions?"
        self.service.reader.teach(ask)
        return self.service.ask(self.tenant, ask, **ALL)

    def put(self, new: Edition) -> InBackground:
        """Store an edition while the check goes on."""
        return InBackground(lambda: self.service.put(self.tenant, "rules", title="Rules", text=new.text))

    def expect_whole(self, expected: Edition, *others: Edition, when: str) -> None:
        """All of one edition is in the prompt, and nothing of the others."""
        asked = self.ask()
        if not asked.prompts:
            raise Mismatch(
                f"the document is gone {when}",
                expected=f"all of edition {expected.mark}",
                observed=f"no passage was sent; {asked.response.status} {asked.response.text[:200]}",
                hint="Delete the old chunks in the transaction that inserts the new ones, after embedding.",
            )
        which = whole_edition(asked.prompt, [expected, *others], when)
        expect_equal(which.mark, expected.mark, f"the edition that a question sees {when}")


@check(task="consistency", after=("answers_with_a_citation",), seconds=20)
def shows_the_old_version_while_the_new_one_is_embedded(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """While the embedding of an update is held back, questions are answered from the whole old version."""
    rules = Rules(service, drafts, rng)
    old, new = rules.next(), rules.next()
    expect_equal(rules.put(old).result().status, 201, "the status of the first PUT")
    with service.stage.model.hold(embedding_of(new.mark)) as held:
        put = rules.put(new)
        expect(
            held.arrived.wait(ARRIVAL_SECONDS),
            "an update was not embedded",
            expected="POST /v1/embeddings with the new text",
            observed=f"nothing within {ARRIVAL_SECONDS:g} seconds",
        )
        for _ in range(2):
            rules.expect_whole(old, new, when="while the new version is being embedded")
        expect(
            not put.done, "a PUT was answered before its text was embedded", expected="an answer when it can be found"
        )
        held.release()
        response = put.result()
    expect_equal(response.status, 200, "the status of the update")
    rules.expect_whole(new, old, when="after the update was answered")


@check(task="consistency", after=("changes_nothing_when_an_update_fails",), seconds=20)
def changes_nothing_when_the_database_fails(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """When the database refuses the last section of an update, the PUT is an error and the old version is whole."""
    rules = Rules(service, drafts, rng)
    old, new = rules.next(), rules.next()
    expect_equal(rules.put(old).result().status, 201, "the status of the first PUT")
    with refusing_rows(service.stage, new.sections[-1]):
        response = rules.put(new).result()
    expect(
        response.status >= 500,
        "an update was answered as done although the database refused a part of it",
        expected="500 or more",
        observed=f"{response.status} {response.text[:200]}",
    )
    rules.expect_whole(old, new, when="after the database refused a part of an update")
    expect_equal(rules.put(new).result().json().get("status"), "updated", "the status of the second try")
    rules.expect_whole(new, old, when="after the second try of an update")


@check(task="consistency", after=("answers_with_a_citation",), seconds=20)
def ends_in_time_while_it_answers(fresh_stage: FreshStage, drafts: Drafts, rng: random.Random) -> None:
    """SIGTERM ends the service within 5 seconds, also while a question waits for the model."""
    stage = fresh_stage()
    service = Service(stage, Reader())
    tenant, note_ = fresh_tenant(rng), drafts.note()
    service.keep(tenant, note_.document)
    service.reader.teach(note_.ask, note_.gold)
    with stage.model.hold(chat_about(note_.ask)) as held:
        asked = InBackground(lambda: service.ask(tenant, note_.ask).response)
        expect(held.arrived.wait(ARRIVAL_SECONDS), "the model was not asked", observed="no chat request")
        stage.restart()
    asked.forget()
    expect(service.ask(tenant, note_.ask).holds(note_.gold), "the document is gone after a restart")


@check(task="consistency", after=("answers_with_a_citation",), seconds=20)
def changes_nothing_when_an_update_fails(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """When the embedding of the last section fails, the PUT is a 502 and the old version is whole; a retry succeeds."""
    rules = Rules(service, drafts, rng)
    first, old, new = rules.next(), rules.next(), rules.next()
    with service.stage.model.fault(embedding_of(first.sections[-1]), Fail(500)):
        response = rules.put(first).result()
    expect_error(response, (502,), "upstream", "a first PUT whose embedding fails")
    missing = rules.ask()
    expect(
        not missing.prompts,
        "a document is half stored after its first PUT failed",
        expected="no passage",
        observed=missing.prompts and missing.prompt.texts,
    )
    expect_error(service.delete(rules.tenant, "rules"), (404,), None, "DELETE of a document whose only PUT failed")
    expect_equal(rules.put(old).result().status, 201, "the status of the first PUT that succeeds")
    with service.stage.model.fault(embedding_of(new.sections[-1]), Fail(500)):
        response = rules.put(new).result()
    expect_error(response, (502,), "upstream", "an update whose embedding fails")
    rules.expect_whole(old, new, when="after an update failed")
    mark = service.stage.model.journal.mark()
    expect_equal(
        rules.put(old).result().json().get("status"),
        "unchanged",
        "the status of the old version after a failed update",
        hint="Write the new hash in the transaction that writes the new chunks.",
    )
    expect_equal(len(service.embeddings(mark)), 0, "the number of embedding calls for what is stored")
    expect_equal(
        rules.put(new).result().json().get("status"), "updated", "the status of the update when it is tried again"
    )
    rules.expect_whole(new, old, when="after the second try of an update")


@check(task="consistency", after=("changes_nothing_when_an_update_fails",), seconds=20)
def changes_nothing_when_a_vector_does_not_fit(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """When the last vector of an update has another length, the PUT is an error and the old version is whole."""
    rules = Rules(service, drafts, rng)
    old, new = rules.next(), rules.next()
    mark = service.stage.model.journal.mark()
    expect_equal(rules.put(old).result().status, 201, "the status of the first PUT")
    inputs = max(len(call.inputs) for call in service.embeddings(mark))
    with service.stage.model.fault(embedding_of(new.sections[-1]), _last_vector_too_short(inputs)):
        response = rules.put(new).result()
    expect(
        response.status >= 500,
        "a vector of three dimensions was stored beside vectors of 256",
        expected="502: the embedding failed",
        observed=f"{response.status} {response.text[:300]}",
        hint="Check what upstream sends before you store it: as many vectors as texts, each of the space's length.",
    )
    rules.expect_whole(old, new, when="after an update whose last vector does not fit")
    expect_equal(rules.put(new).result().status, 200, "the status of the update when it is tried again")
    rules.expect_whole(new, old, when="after the second try of an update")


@check(task="consistency", after=("answers_with_a_citation",), seconds=30)
def never_mixes_versions(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Under updates that follow each other, every question sees exactly one whole version."""
    rules = Rules(service, drafts, rng)
    editions = [rules.next() for _ in range(FLIPS)]
    expect_equal(rules.put(editions[0]).result().status, 201, "the status of the first PUT")
    mark = service.stage.model.journal.mark()
    over = threading.Event()
    asked: list[int] = []

    def keep_asking() -> None:
        while not over.is_set():
            asked.append(rules.ask().response.status)

    askers = [threading.Thread(target=keep_asking, daemon=True) for _ in range(ASKERS)]
    for asker in askers:
        asker.start()
    try:
        for new in editions[1:]:
            expect_equal(rules.put(new).result().status, 200, "the status of an update")
    finally:
        over.set()
        for asker in askers:
            asker.join()
    prompts = service.prompts(mark)
    expect(set(asked) == {200}, "a question during an update was not answered with 200", observed=sorted(set(asked)))
    expect(
        len(prompts) >= len(asked),
        "a question during an update found nothing",
        expected=f"{len(asked)} prompts",
        observed=f"{len(prompts)} prompts for {len(asked)} questions",
        hint="A question saw the document between the DELETE and the INSERT: one transaction, one commit.",
    )
    for prompt in prompts:
        whole_edition(prompt, editions, "during updates")
    rules.expect_whole(editions[-1], *editions[:-1], when="after the last update")


@check(task="consistency", after=("answers_with_a_citation",), seconds=30)
def lets_one_of_two_writers_win(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Two PUTs of one document at once leave one whole version, whichever, and neither of them fails."""
    for _ in range(ROUNDS):
        rules = Rules(service, drafts, rng)
        for what in ("first", "later"):
            pair = [rules.next(), rules.next()]
            for put in [rules.put(each) for each in pair]:
                response = put.result()
                expect(
                    response.status in (200, 201),
                    f"one of two {what} PUTs at once failed",
                    expected="200 or 201 for both",
                    observed=f"{response.status} {response.text[:300]}",
                    hint="Lock the document's row (or an advisory lock on tenant and id) before you compare and write.",
                )
            asked = rules.ask()
            whole_edition(asked.prompt, pair, f"after two {what} PUTs at once")


def whole_edition(prompt: Prompt, editions: list[Edition], when: str) -> Edition:
    """The one edition that a prompt holds.

    Raises:
        Mismatch: it holds none, several, or a part of one.
    """
    seen = {each.mark: sorted(each.seen_in(prompt.texts)) for each in editions}
    present = [each for each in editions if seen[each.mark]]
    observed = {mark: sections for mark, sections in seen.items() if sections}
    expect(
        len(present) == 1,
        f"a question {when} does not see exactly one version",
        expected="sections of one version",
        observed=observed or "no version",
        hint="All chunks of a version change in one transaction, and one query reads them.",
    )
    expect_equal(
        seen[present[0].mark],
        sorted(present[0].sections),
        f"the sections that a question sees {when}",
        hint="A part of the version is missing: did an INSERT fail, or is each chunk committed by itself?",
    )
    return present[0]


def _last_vector_too_short(inputs: int) -> Garbage:
    """A reply for so many texts in which all vectors are of 256 dimensions but the last: it fails late, when stored."""
    vectors = [[0.0625] * 256 for _ in range(inputs - 1)] + [[0.5, 0.5, 0.5]]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return Garbage(json.dumps({"object": "list", "model": "meridian-embed-1", "data": data, "usage": usage}).encode())
