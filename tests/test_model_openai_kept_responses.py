"""Responses that are kept: retrieved, paged, counted, deleted; made in the background, looked at, cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from grader.model.script import Cut, Fail, Hold, Reply, Slow
from grader.model.server import ModelDouble

from .response_requests import ASK, LONG, ask

PATIENCE = 20


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()
    assert running.leftover == ()


@pytest.fixture(scope="module")
def gpt(running: ModelDouble) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=running.openai_base_url, api_key="dummy", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


# --- kept responses -------------------------------------------------------------------------------------------------


def test_a_response_is_kept_until_it_is_deleted(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    assert gpt.responses.retrieve(made.id).to_dict() == made.to_dict()
    gpt.responses.delete(made.id)
    for gone in (gpt.responses.retrieve, gpt.responses.delete, gpt.responses.cancel, gpt.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found"):
            gone(made.id)


def test_input_items_come_in_pages(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("fine"))
    said: list[Any] = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"role": "assistant", "content": "two"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ]
    made = ask(gpt, input=said)
    items = list(gpt.responses.input_items.list(made.id, limit=2, order="asc"))
    assert [item.type for item in items] == [
        "message",
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert [item.id for item in gpt.responses.input_items.list(made.id)] == [item.id for item in reversed(items)]


def test_tokens_are_counted_with_earlier_turns(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    counted = gpt.responses.input_tokens.count(model="any", input="x" * 40, previous_response_id=made.id)
    assert counted.input_tokens == -(-(29 + 9 + 40) // 4)


# --- in the background ----------------------------------------------------------------------------------------------


def test_work_in_the_background_is_done_when_the_check_says(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("At Arden."), gate))
    made = ask(gpt, background=True)
    assert (made.status, made.output_text) == ("queued", "")
    assert [gpt.responses.retrieve(made.id).status for _ in range(2)] == ["in_progress"] * 2
    with pytest.raises(openai.BadRequestError, match="its status is 'in_progress'"):
        ask(gpt, previous_response_id=made.id)
    gate.set()
    done = gpt.responses.retrieve(made.id)
    assert (done.status, done.output_text) == ("completed", "At Arden.")
    assert double.journal.since()[0].request.number
    assert [request.wire for request in double.journal.requests()[-5:]].count("openai-stored-responses") == 3


def test_a_gate_is_looked_at_once_a_look(double: ModelDouble, gpt: openai.OpenAI) -> None:
    class ThirdLook:
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks == 3

    double.script(Hold(Reply("done"), ThirdLook()))
    made = ask(gpt, background=True)
    statuses = [gpt.responses.retrieve(made.id).status for _ in range(3)]
    assert statuses == ["in_progress", "in_progress", "completed"]


def test_work_that_nothing_holds_is_done_at_the_first_look(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    assert gpt.responses.retrieve(ask(gpt, background=True).id).output_text == "At Arden."


def test_slow_work_is_done_by_the_doubles_clock(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Slow(Reply("At Arden."), 3600))
    made = ask(gpt, background=True)
    assert gpt.responses.retrieve(made.id).status == "in_progress"
    double.advance(3600)
    assert gpt.responses.retrieve(made.id).status == "completed"


def test_work_may_be_cancelled_while_it_is_under_way(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Hold(Reply("never"), threading.Event()))
    made = ask(gpt, background=True)
    assert gpt.responses.cancel(made.id).status == "cancelled"
    assert gpt.responses.cancel(made.id).status == "cancelled"
    assert gpt.responses.retrieve(made.id).output == []


def test_what_is_not_in_the_background_cannot_be_cancelled(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        gpt.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="can be streamed again"):
        gpt.responses.retrieve(made.id, stream=True)


def test_work_that_fails_says_so_when_it_is_looked_at(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Fail(429), gate), Fail(500))
    made = ask(gpt, background=True)
    gate.set()
    failed = gpt.responses.retrieve(made.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        ask(gpt, background=True)


def test_a_stream_of_background_work_waits_inside(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("At Arden."), gate))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    first = [next(stream).type for _ in range(3)]
    assert first == ["response.created", "response.queued", "response.in_progress"]
    gate.set()
    rest = list(stream)
    assert rest[-1].type == "response.completed"
    assert rest[0].sequence_number == 3


def test_a_stream_that_broke_is_taken_up_where_it_was(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Cut(Reply(LONG), after_events=9))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        seen.extend(stream)
    assert len(seen) == 9
    made = seen[0].response.id
    seen += gpt.responses.retrieve(made, stream=True, starting_after=seen[-1].sequence_number)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == LONG
    with gpt.responses.stream(response_id=made) as again:
        assert again.get_final_response().output_text == LONG


def test_a_stream_of_cancelled_work_ends(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Hold(Reply("never"), threading.Event()))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    made = next(stream)
    assert made.type == "response.created"
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(list, stream)
        gpt.responses.cancel(made.response.id)
        kinds = [event.type for event in rest.result(PATIENCE)]
    assert "response.completed" not in kinds


def test_a_hold_keeps_background_work_under_way(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    with double.hold(lambda request: request.wire == "openai-responses") as held:
        made = ask(gpt, background=True)
        assert held.arrived.is_set()
        assert gpt.responses.retrieve(made.id).status == "in_progress"
    assert gpt.responses.retrieve(made.id).status == "completed"
