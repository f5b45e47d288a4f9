"""Task answers: citations that hold, abstention, and upstream faults told apart from not knowing."""

from __future__ import annotations

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grader.checking import (
    Disconnect,
    Fail,
    Garbage,
    Refuse,
    Reply,
    Step,
    ToolCall,
    Turn,
    check,
    expect,
    expect_equal,
)

from .drafts import Drafts, Note
from .expectations import expect_abstained, expect_error, expect_sent_from, expect_sources
from .handbook import Document
from .reader import (
    Order,
    Seen,
    answer,
    bad_citations,
    cite,
    forces_answer,
    saying_null,
    well,
    without_citations,
)
from .service import Asked, Service, chat_about, embedding_of, fresh_tenant

MOST_CALLS = 2  # "You may ask the model once more before you give up."


@check(task="answers", after=("stores_a_new_document",))
def answers_with_a_citation(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """An answer comes with its citation, and with the passages that were sent as its sources, in their order."""
    tenant, notes = fresh_tenant(rng), drafts.notes(6)
    service.keep(tenant, *(note_.document for note_ in notes))
    for note_ in notes[:3]:
        service.reader.teach(note_.ask, note_.gold)
        asked = service.ask(tenant, note_.ask)
        _expect_forced(asked)
        expect_sent_from(asked.prompt, (each.document for each in notes), "the tenant")
        body = asked.body
        expect(
            body["answer"] is not None and note_.document.canary in body["answer"],
            "the answer is not the model's",
            expected=f"the model's answer: {note_.gold} […]",
            observed=body["answer"],
            hint="See `grader wire lab-07` for what the model replied.",
        )
        passage = next(each for each in asked.prompt.passages if note_.gold in each.text)
        expected = {"document_id": note_.document.document_id, "passage_id": passage.id, "quote": note_.gold}
        expect_equal([_only(citation, expected) for citation in body["citations"]], [expected], "the citations")
        expect_sources(asked, [each.document for each in notes])


@check(task="answers", after=("answers_with_a_citation",))
def drops_citations_that_do_not_hold(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Invented passages, altered quotes and quotes from elsewhere are dropped; what holds is kept."""
    tenant, notes = _stored(service, drafts, rng)
    elsewhere = drafts.note()
    service.keep(fresh_tenant(rng), elsewhere.document)
    note_ = notes[0]
    service.reader.teach(note_.ask, note_.gold)
    service.reader.order(
        note_.ask,
        lambda seen: answer(
            "It is known.",
            *bad_citations(seen, elsewhere.gold),
            cite(seen.found.id if seen.found else "", seen.quote),
            cite(seen.found.id if seen.found else "", seen.quote[4:30]),
        ),
    )
    asked = service.ask(tenant, note_.ask)
    expect_equal(asked.body["answer"], "It is known.", "the answer")
    quotes = sorted(str(citation.get("quote")) for citation in asked.body["citations"])
    expect_equal(
        quotes,
        sorted([note_.gold, note_.gold[4:30]]),
        "the quotes of the citations that are kept",
        hint="A citation holds when its passage was sent in this request and its quote is a substring of "
        "*that* passage: compare exactly, every digit and every space.",
    )
    expect(
        all(citation.get("document_id") == note_.document.document_id for citation in asked.body["citations"]),
        "a citation names another document than the one its passage is from",
        expected=note_.document.document_id,
        observed=asked.body["citations"],
    )


@check(task="answers", after=("answers_with_a_citation",))
def abstains_without_a_citation_that_holds(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """When no citation holds, when there is none, and when the model says null, there is no answer."""
    tenant, notes = _stored(service, drafts, rng)
    elsewhere = drafts.note()
    orders: list[tuple[str, Order]] = [
        ("when all citations are invented", lambda seen: answer("Invented.", *bad_citations(seen, elsewhere.gold))),
        ("when the model cites nothing", without_citations),
        ("when the model says null, whatever it cites", saying_null),
        ("that no passage answers", well),
    ]
    for (why, order), note_ in zip(orders, notes, strict=False):
        service.reader.teach(note_.ask, *([] if order is well else [note_.gold]))
        service.reader.order(note_.ask, order)
        asked = service.ask(tenant, note_.ask)
        expect_abstained(asked, why)
        expect(
            "Invented." not in asked.response.text,
            "an answer that was not cited is in the response",
            observed=asked.body,
        )
        expect_sources(asked, [each.document for each in notes])


@check(task="answers", after=("answers_with_a_citation",))
def passes_on_what_the_model_says(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Answers and quotes with markup, quotes and other alphabets come through as they are."""
    tenant = fresh_tenant(rng)
    code = drafts.code()
    sentence = f'Door {code}: «R&D» says "a < b && b > c" & 10 °C ≠ 50 °F — 倉庫 é.'
    document = Document("", "markup", "R&D <tests> \"and\" 'more'", f"{sentence}\nKeep 5 &lt; 6 &amp; all.", "")
    service.keep(tenant, document)
    ask = f"What does the note about door {code} say?"
    service.reader.teach(ask, sentence)
    said = f'"{sentence}" <b>&amp;</b> \\n 🚚'
    service.reader.order(ask, lambda seen: answer(said, cite(seen.first.id, sentence)))
    body = service.ask(tenant, ask).body
    expect_equal(body["answer"], said, "the answer")
    expect_equal(
        [citation.get("quote") for citation in body["citations"]],
        [sentence],
        "the quotes",
        hint="Compare the quote with the chunk's text, not with its escaped form.",
    )
    words = code.split("-")[0]
    service.reader.teach(long := f"{ask} In full, please.", sentence)
    said = f"It is unknown to most, and I am not sure, but: {'very ' * 300}well. "
    quotes = ["Door", "10 °C", "é", words, "R&D"]
    service.reader.order(long, lambda seen: answer(said, *(cite(seen.first.id, quote) for quote in quotes)))
    body = service.ask(tenant, long).body
    expect_equal(body["answer"], said, "a long answer")
    expect_equal(
        [citation.get("quote") for citation in body["citations"]],
        quotes,
        "the quotes of an answer with five citations that hold",
    )


@check(task="answers", after=("answers_with_a_citation",), seconds=20)
def takes_only_one_complete_answer_call(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Plain text, another tool, a refusal and a reply that is cut off are a 502; no other tool is carried out."""
    tenant, notes = _stored(service, drafts, rng, count=9)
    victim = notes[8].document.document_id
    steps: list[tuple[str, Step]] = [
        ("plain text", Reply("The passages say that it is 42.")),
        ("JSON as plain text", Reply('{"answer": "42", "citations": []}')),
        ("the tool delete_document", ToolCall("delete_document", {"document_id": victim, "tenant": tenant})),
        ("a refusal", Refuse()),
        ("a reply cut off at max_tokens", Reply("Let me see: the", stop="max_tokens")),
    ]
    orders: list[tuple[str, Order]] = [(name, _always(step)) for name, step in steps]
    orders.append(("an answer call cut off at max_tokens", _cut_off))
    orders.append(("another tool with the arguments of `answer`", _under_another_name))
    orders.append(("two calls of `answer`", _twice))
    for (_, order), note_ in zip(orders, notes, strict=False):
        service.reader.teach(note_.ask, note_.gold)
        service.reader.order(note_.ask, order)
    mark = service.stage.model.journal.mark()
    with ThreadPoolExecutor(3) as pool:
        responses = list(pool.map(lambda note_: service.ask(tenant, note_.ask).response, notes[: len(orders)]))
    for (name, _), response in zip(orders, responses, strict=True):
        expect_error(
            response,
            (502,),
            "upstream",
            f"the model replied with {name}",
            hint="Look at the stop reason and at the name of the tool before you read arguments.",
        )
    sent = [service.reader.question_in(prompt) for prompt in service.prompts(mark)]
    most = max(sent.count(note_.ask) for note_ in notes)
    expect(
        most <= MOST_CALLS,
        "the model was asked too often about one question",
        expected=f"at most {MOST_CALLS} calls",
        observed=f"{most} calls",
    )
    kept = notes[8]
    service.reader.teach(kept.ask, kept.gold)
    expect(service.ask(tenant, kept.ask).holds(kept.gold), "the model deleted a document", expected=kept.gold)


@check(task="answers", after=("answers_with_a_citation",), seconds=20)
def survives_malformed_arguments(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """An answer call with malformed arguments is a 502 or an abstention, never a crash and never an answer."""
    tenant, notes = _stored(service, drafts, rng)
    arguments: list[dict[str, object]] = [
        {},
        {"answer": "No list.", "citations": "none"},
        {"answer": ["Not a text."], "citations": [cite("1", "The")]},
        {"answer": "Odd citations.", "citations": [None, 7, {"passage_id": 1}, {"quote": ["The"], "passage_id": "1"}]},
        {"answer": "No citations."},
    ]
    for given, note_ in zip(arguments, notes, strict=False):
        service.reader.teach(note_.ask, note_.gold)
        service.reader.order(note_.ask, _always(ToolCall("answer", dict(given))))
        asked = service.ask(tenant, note_.ask)
        if asked.response.status == 502:
            expect_error(asked.response, (502,), "upstream", f"the arguments {given}")
        else:
            expect_abstained(asked, f"whose answer call has the arguments {given}")


@check(task="answers", after=("answers_with_a_citation",), seconds=25)
def tells_a_fault_from_not_knowing(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A passing fault of the model or the embedding is retried; a lasting one is a 502, never an abstention."""
    tenant, notes = _stored(service, drafts, rng, count=8)
    model = service.stage.model
    for note_ in notes:
        service.reader.teach(note_.ask, note_.gold)
    for fault, about, note_ in (
        (Fail(529), chat_about(notes[0].ask), notes[0]),
        (Fail(503), embedding_of(notes[1].ask), notes[1]),
    ):
        with model.fault(about, fault, times=1):
            asked = service.ask(tenant, note_.ask)
        expect(
            asked.body["answer"] is not None,
            "a fault that passes was not retried",
            expected="200 with an answer",
            observed=asked.body,
            hint="Both SDKs retry 429, 5xx and 529 twice by themselves: leave max_retries alone.",
        )
    lasting: list[tuple[str, Step, bool]] = [
        ("the model answers 500", Fail(500), True),
        ("the model refuses the key with 401", Fail(401), True),
        ("the embedding answers 500", Fail(500), False),
        ("the model's reply is not JSON", Garbage(b"<html>gateway</html>"), True),
        ("the embedding's reply is not JSON", Garbage(b"<html>gateway</html>"), False),
        ("the model's connection breaks", Disconnect(), True),
    ]

    def ask(case: tuple[tuple[str, Step, bool], Note]) -> Asked:
        (_, step, chat), note_ = case
        about = chat_about(note_.ask) if chat else embedding_of(note_.ask)
        with model.fault(about, step):
            return service.ask(tenant, note_.ask)

    with ThreadPoolExecutor(3) as pool:
        for (name, _, _), asked in zip(lasting, pool.map(ask, zip(lasting, notes[2:], strict=True)), strict=True):
            expect_error(
                asked.response,
                (502,),
                "upstream",
                f"{name} in spite of all retries",
                hint="`I don't know` and `I could not ask` are two answers.",
            )


def _stored(service: Service, drafts: Drafts, rng: random.Random, count: int = 6) -> tuple[str, list[Note]]:
    tenant, notes = fresh_tenant(rng), drafts.notes(count)
    service.keep(tenant, *(note_.document for note_ in notes))
    return tenant, notes


def _always(step: Step) -> Order:
    return lambda _seen: step


def _under_another_name(seen: Seen) -> Step:
    """Arguments that would hold, in a call of a tool that nobody offered."""
    call = answer("Taken.", cite(seen.found.id if seen.found else "", seen.quote))
    return ToolCall("final_answer", call.arguments)


def _twice(seen: Seen) -> Step:
    """Two calls that would both hold: which of them is the answer?"""
    citation = cite(seen.found.id if seen.found else "", seen.quote)
    return Turn(answer("The one.", citation), answer("The other.", citation))


def _cut_off(seen: Seen) -> Step:
    """A call that happens to be whole, and would hold, in a reply that says that it is not."""
    return Turn(answer("Cut.", cite(seen.found.id if seen.found else "", seen.quote)), stop="max_tokens")


def _only(citation: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The promised fields of a citation; others may stand beside them."""
    return {field: citation.get(field) for field in fields} if isinstance(citation, dict) else {}


def _expect_forced(asked: Asked) -> None:
    request = asked.prompt.request
    expect(
        forces_answer(request),
        "the tool `answer` is not offered and forced",
        expected="a tool named answer, and a tool_choice that leaves no other way",
        observed=f"tools {[tool.name for tool in request.tools]}, tool_choice {request.tool_choice!r}",
    )
    schema = next(tool.schema for tool in request.tools if tool.name == "answer")
    fields = schema.get("properties", {})
    expect(
        {"answer", "citations"} <= set(fields),
        "the tool `answer` does not declare its arguments",
        expected="properties answer and citations",
        observed=schema,
    )
    expect(
        asked.inquiry.ask in asked.prompt.last,
        "the question does not stand in the last user message as it was asked",
        expected=asked.inquiry.ask,
        observed=asked.prompt.last,
    )
    names = [passage.id for passage in asked.prompt.passages]
    expect(
        names and len(set(names)) == len(names) and all(passage.well_named for passage in asked.prompt.passages),
        "passages are not named as promised",
        expected="ids that match [A-Za-z0-9_.:-]{1,64}, each once",
        observed=names or asked.prompt.outside,
    )
