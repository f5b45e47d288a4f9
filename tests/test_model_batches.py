"""Message batches end when a check says so, in any order, with results of every kind; tokens are counted for free."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import message_count_tokens_params

from grader.model.journal import Request
from grader.model.script import Fail, Reply, Thinking, ToolCall, Turn, When
from grader.model.server import ModelDouble
from grader.model.wires import anthropic_tokens

from .model_clients import strict_async_claude, strict_claude

DAY = 24 * 3600


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


def asked(*names: str, **params: Any) -> list[Any]:
    return [
        {
            "custom_id": name,
            "params": {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": name}], **params},
        }
        for name in names
    ]


def of(name: str) -> When:
    return lambda request: request.params.get("custom_id") == name


def results(claude: anthropic.Anthropic, batch: anthropic.types.messages.MessageBatch) -> dict[str, Any]:
    return {line.custom_id: line.result for line in claude.messages.batches.results(batch.id)}


def test_a_batch_is_played_when_the_check_says_so(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda request: Reply(request.messages[0].text.upper()))
    made = claude.messages.batches.create(requests=asked("a", "b", "c"))
    assert (made.processing_status, made.request_counts.processing, made.results_url) == ("in_progress", 3, None)
    assert double.journal.since()[-1].request.wire == "anthropic-batches"
    double.batches.finish(made.id)
    ended = claude.messages.batches.retrieve(made.id)
    assert (ended.processing_status, ended.request_counts.succeeded, ended.request_counts.processing) == ("ended", 3, 0)
    assert ended.ended_at is not None
    lines = list(claude.messages.batches.results(made.id))
    assert [line.custom_id for line in lines] == ["c", "b", "a"]
    for line in lines:
        assert line.result.type == "succeeded"
        message = line.result.message
        assert message.content[0].type == "text"
        assert message.content[0].text == line.custom_id.upper()
        assert message.usage.service_tier == "batch"


def test_results_come_in_the_order_that_the_check_wants(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    made = claude.messages.batches.create(requests=asked("a", "b", "c"))
    double.batches.finish(order=["b", "c", "a"])
    assert list(results(claude, made)) == ["b", "c", "a"]


def test_a_batch_has_results_of_every_kind(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(ToolCall("f", {"x": 1}), when=of("calls"))
    double.script(Fail(529), when=of("scripted"))
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    requests = asked("calls", "scripted", "late", "failed", tools=tools)
    requests += asked("wrong", max_tokens="many") + asked("warms", max_tokens=0) + asked("streams", stream=True)
    made = claude.messages.batches.create(requests=requests)
    double.batches.finish(expire=["late"], fail={"failed": Fail(500, message="as told")})
    counts = claude.messages.batches.retrieve(made.id).request_counts
    assert (counts.succeeded, counts.errored, counts.expired, counts.canceled) == (1, 5, 1, 0)
    by_name = results(claude, made)
    assert by_name["calls"].message.stop_reason == "tool_use"
    assert by_name["late"].type == "expired"
    errors = {name: result.error.error for name, result in by_name.items() if result.type == "errored"}
    assert errors["scripted"].type == "overloaded_error"
    assert (errors["failed"].type, errors["failed"].message) == ("api_error", "as told")
    assert errors["wrong"].type == "invalid_request_error"
    assert "max_tokens: Input should be a valid integer" in errors["wrong"].message
    assert "max_tokens" in errors["warms"].message
    assert "not supported in a batch" in errors["streams"].message
    assert double.leftover == ()


def test_requests_of_a_batch_are_in_the_journal_at_half_the_price(
    double: ModelDouble, claude: anthropic.Anthropic
) -> None:
    double.respond(lambda _: Reply("ok" * 100))
    alone = claude.messages.create(**asked("a")[0]["params"])
    del alone
    full = double.journal.since()[-1]
    claude.messages.batches.create(requests=asked("a"))
    double.batches.finish()
    (played,) = [exchange for exchange in double.journal.since() if exchange.request.params.get("custom_id") == "a"][
        -1:
    ]
    assert (played.request.wire, played.request.messages) == ("anthropic", full.request.messages)
    assert (played.input_tokens, played.output_tokens) == (full.input_tokens, full.output_tokens)
    assert played.cost_usd == pytest.approx(full.cost_usd / 2)


def test_what_nobody_scripted_is_unmatched(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    made = claude.messages.batches.create(requests=asked("a"))
    double.batches.finish()
    assert results(claude, made)["a"].type == "errored"
    assert len(double.unmatched) == 1


def test_a_cancelled_batch_keeps_what_was_done(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    made = claude.messages.batches.create(requests=asked("a", "b"))
    double.batches.run("a")
    assert claude.messages.batches.retrieve(made.id).request_counts.processing == 2
    cancelled = claude.messages.batches.cancel(made.id)
    assert (cancelled.processing_status, cancelled.cancel_initiated_at is not None) == ("canceling", True)
    ended = claude.messages.batches.retrieve(made.id)
    assert (ended.processing_status, ended.request_counts.succeeded, ended.request_counts.canceled) == ("ended", 1, 1)
    assert {name: result.type for name, result in results(claude, made).items()} == {
        "a": "succeeded",
        "b": "canceled",
    }
    with pytest.raises(anthropic.BadRequestError, match="cannot be canceled"):
        claude.messages.batches.cancel(made.id)


def test_a_batch_expires_after_a_day(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    made = claude.messages.batches.create(requests=asked("a", "b"))
    double.batches.run("b")
    double.advance(DAY + 1)
    assert claude.messages.batches.retrieve(made.id).request_counts.expired == 1
    assert results(claude, made)["b"].type == "succeeded"
    double.advance(29 * DAY)
    archived = claude.messages.batches.retrieve(made.id)
    assert (archived.results_url, archived.archived_at is not None) == (None, True)
    with pytest.raises(anthropic.AnthropicError):
        claude.messages.batches.results(made.id)


def test_a_batch_can_end_by_itself_at_a_look(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    double.batches.finish_after(3, expire=["b"])
    made = claude.messages.batches.create(requests=asked("a", "b"))
    statuses = [claude.messages.batches.retrieve(made.id).processing_status for _ in range(4)]
    assert statuses == ["in_progress", "in_progress", "ended", "ended"]
    assert results(claude, made)["b"].type == "expired"


def test_batches_are_listed_in_pages_and_deleted(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    made = [claude.messages.batches.create(requests=asked("a")).id for _ in range(5)]
    assert [batch.id for batch in claude.messages.batches.list(limit=2)] == made[::-1]
    assert double.batches.await_created(5) == tuple(made)
    with pytest.raises(anthropic.BadRequestError, match="cancel it before"):
        claude.messages.batches.delete(made[0])
    double.batches.finish(made[0], expire=["a"])
    assert claude.messages.batches.delete(made[0]).type == "message_batch_deleted"
    for gone in (made[0], "msgbatch_none"):
        with pytest.raises(anthropic.NotFoundError, match=gone):
            claude.messages.batches.retrieve(gone)
    with strict_claude(double, key="another") as stranger:
        assert list(stranger.messages.batches.list()) == []
        with pytest.raises(anthropic.NotFoundError):
            stranger.messages.batches.retrieve(made[1])


def test_async_clients_use_batches_too(double: ModelDouble) -> None:
    async def run() -> list[str]:
        async with strict_async_claude(double) as client:
            made = await client.messages.batches.create(requests=asked("a", "b"))
            await asyncio.to_thread(double.batches.finish, made.id)
            return [line.result.type async for line in await client.messages.batches.results(made.id)]

    double.respond(lambda _: Turn(Thinking("hm"), Reply("ok")))
    assert asyncio.run(run()) == ["succeeded"] * 2


def test_results_are_not_there_before_the_end(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    made = claude.messages.batches.create(requests=asked("a"))
    headers = {"authorization": "Bearer dummy", "anthropic-version": "1"}
    early = httpx2.get(f"{double.anthropic_base_url}/v1/messages/batches/{made.id}/results", headers=headers)
    assert (early.status_code, early.json()["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "List should have at least 1 item"),
        (asked("a", "a"), "custom_id must be unique within the batch: a"),
        (asked("a b"), "requests.0.custom_id: String should match pattern"),
        (asked("x" * 65), "requests.0.custom_id: String should match pattern"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([{"params": {}}], "requests.0.custom_id: Field required"),
        ([{**asked("a")[0], "model": "m"}], "requests.0.model: Extra inputs are not permitted"),
        (["a"], "requests.0: Input should be an object"),
    ],
)
def test_a_batch_of_a_wrong_shape_is_refused(
    double: ModelDouble, claude: anthropic.Anthropic, requests: list[Any], words: str
) -> None:
    del double
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.batches.create(requests=requests)
    assert words in str(caught.value.api_message)


def test_a_name_that_the_check_got_wrong_is_said(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    claude.messages.batches.create(requests=asked("a"))
    for mistake in ({"expire": ["b"]}, {"fail": {"b": Fail(500)}}, {"order": ["a", "b"]}):
        with pytest.raises(KeyError, match="has no request b; it has a"):
            double.batches.finish(**mistake)
    with pytest.raises(KeyError, match="no batch msgbatch_none is under way"):
        double.batches.finish("msgbatch_none")
    with pytest.raises(TimeoutError, match="1 of 2 batches"):
        double.batches.await_created(2, seconds=0.01)


def test_tokens_are_counted_as_they_would_be_billed(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("ok"))
    tools: list[Any] = [{"name": "find", "description": "Finds.", "input_schema": {"type": "object"}}]
    prompt: dict[str, Any] = {
        "model": "any",
        "system": "Be short.",
        "tools": tools,
        "messages": [{"role": "user", "content": "Where is it?"}],
    }
    counted = claude.messages.count_tokens(**prompt).input_tokens
    assert counted == claude.messages.create(max_tokens=9, **prompt).usage.input_tokens == 12
    assert claude.beta.messages.count_tokens(**prompt).input_tokens == counted
    mark = double.journal.mark()
    claude.messages.count_tokens(**prompt)
    (exchange,) = double.journal.since(mark)
    assert (exchange.request.wire, exchange.input_tokens, exchange.cost_usd) == ("anthropic-tokens", 0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "at least one message is required"),
        ({"tools": [{"name": "a b", "input_schema": {"type": "object"}}]}, "should match pattern"),
        ({"extra_body": {"max_tokens": 9}}, "max_tokens: Extra inputs are not permitted"),
    ],
)
def test_a_prompt_that_cannot_be_sent_is_not_counted(
    double: ModelDouble, claude: anthropic.Anthropic, change: dict[str, Any], words: str
) -> None:
    del double
    prompt = {"model": "any", "messages": [{"role": "user", "content": "Where is it?"}], **change}
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.count_tokens(**prompt)
    assert words in str(caught.value.api_message)


def test_known_fields_of_a_count_are_those_of_the_sdk() -> None:
    sent_as_headers = {"user_profile_id", "workspace_id"}
    known = set(message_count_tokens_params.MessageCountTokensParams.__annotations__)
    assert known - sent_as_headers == anthropic_tokens.FIELDS


def test_a_matcher_can_tell_requests_of_a_batch(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    seen: list[Request] = []

    def noticed(request: Request) -> Reply:
        seen.append(request)
        return Reply("ok")

    double.respond(noticed)
    made = claude.messages.batches.create(requests=asked("a"))
    double.batches.finish()
    assert seen[-1].params == {"batch_id": made.id, "custom_id": "a"}


def test_the_beta_client_has_batches_too(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.respond(lambda _: Reply("ok"))
    made = claude.beta.messages.batches.create(requests=asked("a"))
    double.batches.finish(made.id)
    assert claude.beta.messages.batches.retrieve(made.id).processing_status == "ended"
    assert [line.result.type for line in claude.beta.messages.batches.results(made.id)] == ["succeeded"]
