"""What the model does next: queue, responder, faults, holds, and what is left over, under many threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from grader.model.journal import Request
from grader.model.script import AsUsual, Fail, Hold, Reply, Slow, ToolCall, Turn, step_name
from grader.model.server import ModelDouble

PATIENCE = 20  # seconds a test waits for an event that comes at once


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


@pytest.fixture
def client(double: ModelDouble) -> Iterator[httpx2.Client]:
    limits = httpx2.Limits(max_connections=64)
    with httpx2.Client(base_url=double.openai_base_url, timeout=PATIENCE, limits=limits) as opened:
        yield opened


def ask(client: httpx2.Client, text: str) -> httpx2.Response:
    body = {"model": "any", "messages": [{"role": "user", "content": text}]}
    return client.post("chat/completions", json=body, headers={"authorization": "Bearer k"})


def said(response: httpx2.Response) -> Any:
    return response.json()["choices"][0]["message"]["content"]


def says(text: str) -> Any:
    return lambda request: text in request.text


def is_embedding(request: Request) -> bool:
    return request.wire == "openai-embeddings"


def embed(client: httpx2.Client) -> httpx2.Response:
    body = {"model": "meridian-embed-1", "input": "x"}
    return client.post("embeddings", json=body, headers={"authorization": "Bearer k"})


def test_steps_are_taken_in_order(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("one"), Reply("two"))
    assert [said(ask(client, "?")), said(ask(client, "?"))] == ["one", "two"]
    assert double.leftover == ()


def test_the_first_matching_step_is_taken(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("for b"), when=says("b"))
    double.script(Reply("for any"))
    assert said(ask(client, "a")) == "for any"
    assert said(ask(client, "b")) == "for b"


def test_steps_nobody_asked_for_are_left_over(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("one"), Reply("two"))
    ask(client, "?")
    assert [left.step for left in double.leftover] == [Reply("two")]


def test_the_responder_answers_when_no_step_matches(double: ModelDouble, client: httpx2.Client) -> None:
    double.respond(lambda request: Reply(request.messages[-1].text.upper()))
    double.script(Reply("queued"))
    assert said(ask(client, "loud")) == "queued"
    assert said(ask(client, "loud")) == "LOUD"


def test_an_unplanned_request_is_refused_and_remembered(double: ModelDouble, client: httpx2.Client) -> None:
    response = ask(client, "surprise")
    assert response.status_code == 400
    assert "no reply planned" in response.json()["error"]["message"]
    assert [unmatched.request.text for unmatched in double.unmatched] == ["\nsurprise"]
    assert double.journal.since()[-1].step == "unmatched"
    assert double.protocol_faults == ()


def test_a_broken_responder_is_our_fault(double: ModelDouble, client: httpx2.Client) -> None:
    double.respond(lambda request: request.messages[99])  # type: ignore[arg-type,return-value]  # broken on purpose
    response = ask(client, "?")
    assert response.status_code == 500
    assert response.headers["x-should-retry"] == "false"
    assert "IndexError" in double.protocol_faults[0]
    assert double.unmatched == ()


def test_reset_forgets_everything_but_the_journal(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("never"), when=says("never"))
    ask(client, "unmatched")
    mark = double.journal.mark()
    double.reset()
    assert (double.leftover, double.unmatched, double.protocol_faults) == ((), (), ())
    assert double.journal.mark() == mark


def test_a_fault_overrides_the_script_for_its_block(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("kept"))
    with double.fault(says("x"), Fail(503)):
        assert ask(client, "x").status_code == 503
        assert ask(client, "x").status_code == 503
    assert said(ask(client, "x")) == "kept"


def test_a_fault_ends_after_its_times(double: ModelDouble, client: httpx2.Client) -> None:
    double.respond(lambda _: Reply("fine"))
    with double.fault(says("x"), Fail(529), times=2):
        assert [ask(client, "x").status_code for _ in range(3)] == [529, 529, 200]


def test_a_fault_hits_embeddings_too(double: ModelDouble, client: httpx2.Client) -> None:
    with double.fault(is_embedding, Fail(500), times=1):
        assert embed(client).status_code == 500
        assert embed(client).status_code == 200
    assert double.leftover == ()


def test_a_fault_may_slow_down_the_usual_reply(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("usual"))
    with double.fault(lambda _: True, Slow(AsUsual(), 0.01)):
        assert said(ask(client, "?")) == "usual"
        assert len(embed(client).json()["data"]) == 1
    assert [exchange.step for exchange in double.journal.since()[-2:]] == ["Slow(Reply)", "Slow(computed)"]


def test_held_requests_keep_nobody_else_waiting(double: ModelDouble, client: httpx2.Client) -> None:
    double.respond(lambda request: Reply("to " + request.messages[-1].text))
    with double.hold(says("late")) as held, ThreadPoolExecutor() as pool:
        late = pool.submit(ask, client, "late")
        assert held.arrived.wait(PATIENCE)
        before = double.journal.mark() - 1
        assert said(ask(client, "early")) == "to early"
        # Without the hold the late one, which came first, would have ended first.
        assert [exchange.reply_text for exchange in double.journal.since(before)] == ["to early"]
        assert [request.messages[-1].text for request in double.journal.requests()[-2:]] == ["late", "early"]
        held.release()
        assert said(late.result(PATIENCE)) == "to late"
        assert said(ask(client, "late")) == "to late"


def test_leaving_the_block_releases_what_is_held(double: ModelDouble, client: httpx2.Client) -> None:
    with ThreadPoolExecutor() as pool:
        with double.hold(is_embedding) as held:
            late = pool.submit(embed, client)
            assert held.arrived.wait(PATIENCE)
        assert late.result(PATIENCE).status_code == 200


def test_a_hold_step_waits_for_its_gate(double: ModelDouble, client: httpx2.Client) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("opened"), gate), when=says("gated"))
    double.script(Reply("free"))
    with ThreadPoolExecutor() as pool:
        gated = pool.submit(ask, client, "gated")
        assert said(ask(client, "other")) == "free"
        gate.set()
        assert said(gated.result(PATIENCE)) == "opened"


def test_a_held_request_takes_its_step_on_arrival(double: ModelDouble, client: httpx2.Client) -> None:
    double.script(Reply("first"), Reply("second"))
    with double.hold(says("late")) as held, ThreadPoolExecutor() as pool:
        late = pool.submit(ask, client, "late")
        assert held.arrived.wait(PATIENCE)
        assert [left.step for left in double.leftover] == [Reply("second")]
        assert said(ask(client, "early")) == "second"
        held.release()
        assert said(late.result(PATIENCE)) == "first"


def test_fifty_threads_each_get_their_own_step(double: ModelDouble, client: httpx2.Client) -> None:
    keys = [f"key-{number:02}" for number in range(50)]
    for key in reversed(keys):
        double.script(Slow(Reply(f"for {key}"), 0.001), ToolCall("tool", {"key": key}), when=says(key))
    mark = double.journal.mark()

    def both(key: str) -> tuple[Any, Any]:
        first, second = ask(client, key), ask(client, key)
        return said(first), second.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(both, keys))
    assert answers == [(f"for {key}", f'{{"key":"{key}"}}') for key in keys]
    assert double.leftover == ()
    exchanges = double.journal.since(mark)
    assert len(exchanges) == 100
    assert len({exchange.request.number for exchange in exchanges}) == 100


def test_a_turn_knows_its_text_calls_and_ending() -> None:
    turn = Turn(Reply("a"), ToolCall("t", {}), Reply("b"))
    assert (turn.text, len(turn.tool_calls), turn.ending) == ("ab", 1, "tool_use")
    assert Turn(Reply("a", stop="max_tokens")).ending == "max_tokens"
    assert Turn(ToolCall("t", {}), stop="max_tokens").ending == "max_tokens"
    assert Turn().ending == "end"


def test_steps_are_named_from_the_outside_in() -> None:
    assert step_name(Slow(Hold(Fail(529), threading.Event()), 1)) == "Slow(Hold(Fail 529))"
