"""What a double remembers is bounded, its own, and as old as a check wants it to be; routes have parts of any name."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import ClassVar

import anthropic
import httpx2
import openai
import pytest

from grader.model.journal import Request
from grader.model.memory import Clock, Memory, Shelf
from grader.model.script import Cut, Fail, Reply, Thinking, ToolCall, Turn, Unfaithful
from grader.model.server import ModelDouble
from grader.model.wires import Routes
from grader.model.wires import anthropic_catalogue as catalogue
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Answer, ComputedWire, JsonObject, Vendor, json_answer

BEARER = {"authorization": "Bearer k"}
CLAUDE = {**BEARER, "anthropic-version": "2026-10-21"}
LONG = Reply("a text that is long enough to be streamed in several pieces, and then some more")


class Echo(ComputedWire):
    """Says what the path said."""

    name = "unknown"
    vendor: ClassVar[Vendor] = OpenAIVendor()
    takes_body = False

    def validate(self, body: JsonObject, request: Request) -> None:
        pass

    def compute(self, request: Request) -> Answer:
        return json_answer(dict(request.params))


class ClaudeEcho(Echo):
    vendor = AnthropicVendor()


@pytest.fixture(scope="module")
def double() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as running:
        yield running
        assert running.protocol_faults == ()


def test_a_shelf_drops_what_was_not_used_for_longest() -> None:
    shelf: Shelf[int] = Shelf(most=2, most_bytes=100)
    shelf.put("a", 1, size=10)
    shelf.put("b", 2, size=10)
    assert shelf.get("a") == 1
    shelf.put("c", 3, size=10)
    assert (shelf.get("a"), shelf.get("b"), shelf.get("c")) == (1, None, 3)


def test_a_shelf_never_holds_more_bytes_than_it_may() -> None:
    shelf: Shelf[str] = Shelf(most=100, most_bytes=100)
    for number in range(50):
        shelf.put(str(number), "x", size=30)
    assert len(shelf.values()) == 3
    shelf.put("giant", "x", size=101)
    assert shelf.values() == ()
    shelf.put("0", "x", size=100)
    shelf.put("0", "y", size=60)
    shelf.put("1", "z", size=40)
    assert shelf.values() == ("y", "z")
    assert (shelf.pop("0"), shelf.pop("0")) == ("y", None)


def test_a_clock_goes_forward_only() -> None:
    clock = Clock()
    before = clock.now()
    clock.advance(3600)
    assert 3600 <= clock.now() - before < 3700
    with pytest.raises(ValueError, match="put back"):
        clock.advance(-1)


def test_an_account_stands_for_a_key_and_hides_it() -> None:
    one, other = Memory(), Memory()
    account = one.account_of({"authorization": "Bearer sk-1"})
    assert account == one.account_of({"authorization": "Bearer sk-1"})
    assert account not in {one.account_of({"authorization": "Bearer sk-2"}), one.account_of({}), ""}
    assert account != other.account_of({"authorization": "Bearer sk-1"})


def test_what_is_forgotten_is_gone_from_every_shelf() -> None:
    memory = Memory()
    shelves = [memory.shelf(), memory.shelf(most=3)]
    for shelf in shelves:
        shelf.put("a", 1, size=1)
    memory.forget()
    assert [shelf.values() for shelf in shelves] == [(), ()]


def test_a_route_leaves_parts_of_its_path_open() -> None:
    batch, results, claude, gpt = ClaudeEcho(), ClaudeEcho(), ClaudeEcho(), Echo()
    routes = Routes(
        ("GET", "/v1/batches/{id}", batch),
        ("GET", "/v1/batches/{id}/results", results),
        ("GET", "/v1/models/{name}", gpt),
        ("GET", "/v1/models/{name}", claude),
    )
    found = routes.find("GET", "/v1/batches/b_1/results", OpenAIVendor())
    assert found is not None
    assert (found.wire, found.params) == (results, {"id": "b_1"})
    for vendor, wire in ((OpenAIVendor(), gpt), (AnthropicVendor(), claude)):
        model = routes.find("GET", "/v1/models/m", vendor)
        assert model is not None
        assert model.wire is wire
    for path in ("/v1/batches/", "/v1/batches", "/v1/batches/b_1/results/more"):
        assert routes.find("GET", path, OpenAIVendor()) is None
    assert routes.refusal("POST", "/v1/batches/b_1").status == 405
    assert "GET /v1/batches/{id}/results" in routes.refusal("POST", "/v1/other").message


def test_both_vendors_give_one_model(double: ModelDouble) -> None:
    options = {"api_key": "k", "max_retries": 0, "_strict_response_validation": True}
    with (
        anthropic.Anthropic(base_url=double.anthropic_base_url, **options) as claude,  # type: ignore[arg-type]  # several types
        openai.OpenAI(base_url=double.openai_base_url, **options) as gpt,  # type: ignore[arg-type]  # several types
    ):
        assert claude.models.retrieve("claude-opus-5-5").line == "opus"
        assert gpt.models.retrieve("gpt-6-astra").owned_by == "meridian"
        with pytest.raises(anthropic.NotFoundError, match="claude-none"):
            claude.models.retrieve("claude-none")
        with pytest.raises(openai.NotFoundError, match="gpt-none"):
            gpt.models.retrieve("gpt-none")


def test_anthropic_lists_models_in_pages(double: ModelDouble) -> None:
    with anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="k", max_retries=0) as claude:
        everything = [model.id for model in claude.models.list()]
        first = claude.models.list(limit=1)
        assert (first.has_more, first.last_id) == (True, everything[0])
        assert [model.id for model in claude.models.list(limit=1)] == everything
        before = claude.models.list(limit=1, before_id=everything[2])
        assert ([model.id for model in before.data], before.has_more) == (everything[1:2], True)
        assert [model.id for model in claude.models.list(lifecycle=["retired"])] == ["claude-mythos-preview"]
        assert "claude-mythos-preview" not in everything
        for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "none"}, {"lifecycle": ["new"]}):
            with pytest.raises(anthropic.BadRequestError):
                claude.models.list(**wrong)


def test_a_stream_can_end_in_an_error_event(double: ModelDouble) -> None:
    failing = Cut(LONG, 3, error=Fail(529, message="too busy"))
    double.script(failing, failing, failing, failing)
    said = [{"role": "user", "content": "hello"}]
    mark = double.journal.mark()
    with anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="k", max_retries=0) as claude:
        stream = claude.messages.create(model="m", max_tokens=9, messages=said, stream=True)  # type: ignore[arg-type]  # a plain dict
        with pytest.raises(anthropic.APIStatusError, match="too busy") as caught:
            list(stream)
        assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
        with pytest.raises(anthropic.OverloadedError, match="too busy"):
            claude.messages.create(model="m", max_tokens=9, messages=said)  # type: ignore[arg-type]  # a plain dict
    with openai.OpenAI(base_url=double.openai_base_url, api_key="k", max_retries=0) as gpt:
        chunks = gpt.chat.completions.create(model="m", messages=said, stream=True)  # type: ignore[arg-type]  # a plain dict
        with pytest.raises(openai.APIError, match="too busy"):
            list(chunks)
        with pytest.raises(openai.InternalServerError, match="too busy"):
            gpt.chat.completions.create(model="m", messages=said)  # type: ignore[arg-type]  # a plain dict
    streamed, plain = double.journal.since(mark)[:2]
    assert (streamed.status, streamed.error) == (200, "ended with 529 after 3 events")
    assert (plain.status, plain.error) == (529, "failed with 529")


def test_thinking_is_counted_and_kept_on_every_wire(double: ModelDouble) -> None:
    double.script(*[Unfaithful(Turn(Thinking("x" * 40), Reply("fine"), ToolCall("f", {}, id="t")))] * 2)
    said = [{"role": "user", "content": "hello"}]
    httpx2.post(
        f"{double.anthropic_base_url}/v1/messages",
        json={"model": "m", "max_tokens": 9, "messages": said},
        headers=CLAUDE,
    ).raise_for_status()
    chat = httpx2.post(
        f"{double.openai_base_url}/chat/completions", json={"model": "m", "messages": said}, headers=BEARER
    ).json()
    assert chat["usage"]["completion_tokens_details"]["reasoning_tokens"] == 10
    assert chat["choices"][0]["message"]["content"] == "fine"
    for exchange in double.journal.since()[-2:]:
        assert (exchange.thinking, exchange.reasoning_tokens, exchange.output_tokens) == ("x" * 40, 10, 12)
        assert exchange.reply_id
        assert exchange.request.account


def test_every_model_that_the_sdk_names_is_in_the_catalogue() -> None:
    named = typing.get_args(typing.get_args(anthropic.types.Model)[0])
    assert {catalogue.DATE.sub("", name) for name in named} == {model.id for model in catalogue.MODELS}
    assert catalogue.model_named("claude-opus-4-5-20251101").id == "claude-opus-4-5"
    assert catalogue.model_named("claude-opus-99") is catalogue.ANY
