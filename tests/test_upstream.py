"""A real model answers in the double's place: as it is, translated, recorded, played again; no key is written."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from grader.lab import Lab
from grader.model import Cut, Fail, Garbage, ModelDouble, Refuse, Reply, ToolCall
from grader.practice.upstreams import Upstream, upstreamed

from .upstream_practice import KEY, SCHEMA, WAYS, Weather, clients, say

PATIENCE = 30


@pytest.fixture(scope="module")
def provider_double() -> Iterator[ModelDouble]:
    """Stands for the provider: a second double, whose journal sees what reaches it."""
    with ModelDouble() as double:
        yield double


@pytest.fixture
def provider(provider_double: ModelDouble) -> ModelDouble:
    provider_double.reset()
    return provider_double


Practised = Callable[..., Any]


@pytest.fixture
def practised(lab: Lab, provider: ModelDouble, tmp_path: Path) -> Iterator[Practised]:
    """Opens a double that the provider answers for."""
    with ExitStack() as stack:

        def open_double(speaks: str, **more: Any) -> ModelDouble:
            url = more.pop("url", provider.openai_base_url if "openai" in speaks else provider.anthropic_base_url)
            upstream = Upstream(speaks, url, record=tmp_path / "tape.jsonl", **more)  # type: ignore[arg-type]
            environment = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
            double = stack.enter_context(ModelDouble())
            upstreamed(lab, upstream, environment)(double, stack)
            return double

        yield open_double


@pytest.mark.parametrize("speaks", ["anthropic", "openai", "openai-chat"])
@pytest.mark.parametrize("way", WAYS)
def test_every_wire_is_answered_by_every_upstream(
    practised: Practised, provider: ModelDouble, speaks: str, way: str
) -> None:
    provider.script(Reply("A kind and rather long answer, of several pieces."))
    double = practised(speaks)
    mark = provider.journal.mark()
    assert say(double, way) == "A kind and rather long answer, of several pieces."
    (heard,) = provider.journal.since(mark)
    assert (heard.request.system, heard.request.messages[-1].text) == ("Be kind.", "Hello?")
    assert heard.request.wire == "anthropic" if speaks == "anthropic" else heard.request.wire.startswith("openai")
    (exchange,) = double.journal.since()
    assert (exchange.reply_text, exchange.step, exchange.status) == (heard.reply_text, "upstream", 200)
    assert exchange.output_tokens == heard.output_tokens
    assert exchange.cost_usd > 0
    assert double.protocol_faults == ()


@pytest.mark.parametrize("speaks", ["anthropic", "openai", "openai-chat"])
@pytest.mark.parametrize("side", ["anthropic", "chat", "responses"])
def test_tools_and_their_results_cross_wires(
    practised: Practised, provider: ModelDouble, speaks: str, side: str
) -> None:
    provider.script(ToolCall("weather", {"city": "Arden"}, id="call_1"), Reply("Rain."))
    double = practised(speaks)
    with clients(double) as (claude, gpt):
        if side == "anthropic":
            tools: Any = [{"name": "weather", "description": "Tells.", "input_schema": SCHEMA}]
            messages: Any = [{"role": "user", "content": "Weather?"}]
            choice: Any = {"type": "tool", "name": "weather"}
            first = claude.messages.create(model="m", max_tokens=99, messages=messages, tools=tools, tool_choice=choice)
            call = next(block for block in first.content if block.type == "tool_use")
            assert (call.input, first.stop_reason) == ({"city": "Arden"}, "tool_use")
            result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "wet"}
            messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
            last = claude.messages.create(model="m", max_tokens=99, messages=messages, tools=tools)
            assert [block.text for block in last.content if block.type == "text"] == ["Rain."]
        elif side == "chat":
            function = {"name": "weather", "description": "Tells.", "parameters": SCHEMA}
            tools = [{"type": "function", "function": function}]
            messages = [{"role": "user", "content": "Weather?"}]
            choice = {"type": "function", "function": {"name": "weather"}}
            said = gpt.chat.completions.create(model="m", messages=messages, tools=tools, tool_choice=choice)
            message = said.choices[0].message
            assert message.tool_calls
            assert said.choices[0].finish_reason == "tool_calls"
            assert message.tool_calls[0].type == "function"
            assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Arden"}
            messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "wet"}]
            ended = gpt.chat.completions.create(model="m", messages=messages, tools=tools)
            assert ended.choices[0].message.content == "Rain."
        else:
            tools = [
                {"type": "function", "name": "weather", "description": "Tells.", "parameters": SCHEMA, "strict": True}
            ]
            choice = {"type": "function", "name": "weather"}
            response = gpt.responses.create(model="m", input="Weather?", tools=tools, tool_choice=choice)
            item = next(item for item in response.output if item.type == "function_call")
            assert json.loads(item.arguments) == {"city": "Arden"}
            output: Any = [{"type": "function_call_output", "call_id": item.call_id, "output": "wet"}]
            # Only what is new is sent: whoever translates it has to know the rest.
            after = gpt.responses.create(model="m", previous_response_id=response.id, input=output, tools=tools)
            assert after.output_text == "Rain."
    asked, told = (exchange.request for exchange in provider.journal.since()[-2:])
    assert asked.tool_choice == ("tool", "weather")
    assert asked.tools[0].schema["properties"] == SCHEMA["properties"]
    blocks = [block for message in told.messages for block in message.blocks]
    if speaks != "openai" or side != "responses":  # there the provider keeps the first half by itself
        assert [block.arguments for block in blocks if block.kind == "tool_use"] == [{"city": "Arden"}]
    assert [block.text for block in blocks if block.kind == "tool_result"] == ["wet"]
    assert double.protocol_faults == ()


@pytest.mark.parametrize("speaks", ["anthropic", "openai-chat"])
def test_structured_output_crosses_wires(practised: Practised, provider: ModelDouble, speaks: str) -> None:
    provider.respond(lambda _: Reply('{"city": "Arden"}'))
    with clients(practised(speaks)) as (claude, gpt):
        question: Any = [{"role": "user", "content": "Where?"}]
        parsed = claude.messages.parse(model="m", max_tokens=99, messages=question, output_format=Weather)
        assert parsed.parsed_output == Weather(city="Arden")
        chat = gpt.chat.completions.parse(model="m", messages=question, response_format=Weather)
        assert chat.choices[0].message.parsed == Weather(city="Arden")
        assert gpt.responses.parse(model="m", input="Where?", text_format=Weather).output_parsed == Weather(
            city="Arden"
        )
    schemas = [exchange.request.output_schema for exchange in provider.journal.since()[-3:]]
    assert [schema["properties"]["city"]["type"] for schema in schemas if schema] == ["string"] * 3


@pytest.mark.parametrize("speaks", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("way", ["anthropic", "chat"])
def test_errors_keep_their_status_and_their_words(
    practised: Practised, provider: ModelDouble, speaks: str, way: str
) -> None:
    provider.script(Fail(429, message="Slow down, please."))
    double = practised(speaks)
    with pytest.raises((anthropic.RateLimitError, openai.RateLimitError), match=r"Slow down, please\."):
        say(double, way)
    assert "Slow down, please." in (double.journal.since()[-1].error or "")


def test_a_refusal_and_garbage_are_carried_over(practised: Practised, provider: ModelDouble) -> None:
    double = practised("anthropic")
    provider.script(Refuse("Never."), Garbage(b"<html>"))
    with clients(double) as (_, gpt):
        messages: Any = [{"role": "user", "content": "?"}]
        refused = gpt.chat.completions.create(model="m", messages=messages)
        assert refused.choices[0].message.refusal == "Never."
        with pytest.raises(openai.InternalServerError, match="none of a model's"):
            gpt.chat.completions.create(model="m", messages=messages)


@pytest.mark.parametrize("way", ["anthropic-stream", "anthropic"])
def test_an_upstream_that_breaks_off_is_seen_as_such(practised: Practised, provider: ModelDouble, way: str) -> None:
    provider.script(Cut(Reply("long enough to be cut somewhere in the middle of it"), 3))
    double = practised("anthropic")
    with pytest.raises((httpx2.RemoteProtocolError, anthropic.APIError)):
        say(double, way)
    assert double.journal.await_ended(1, PATIENCE)
    (exchange,) = double.journal.since()
    assert exchange.failed
    assert not exchange.closed_early


@pytest.mark.parametrize("way", [way for way in WAYS if way.endswith("stream")])
def test_a_native_stream_is_in_the_journal_before_the_program_can_see_its_end(
    practised: Practised, provider: ModelDouble, way: str
) -> None:
    provider.script(Reply("several pieces of a text that is long enough"))
    double = practised("anthropic" if "anthropic" in way else "openai")
    written, read, early = double.journal.ended, threading.Event(), []

    def late(exchange: Any) -> None:
        early.append(read.wait(0.3))
        written(exchange)

    double.journal.ended = late  # stands for a busy machine
    say(double, way)
    read.set()
    assert early == [False]


def test_nobody_at_the_address_is_said_so(practised: Practised) -> None:
    double = practised("anthropic", url="http://127.0.0.1:9")
    with pytest.raises(anthropic.InternalServerError, match=r"127\.0\.0\.1:9 cannot be reached"):
        say(double, "anthropic")


def test_the_key_reaches_the_upstream_and_nothing_else(
    practised: Practised, provider: ModelDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    account = provider._memory.account_of

    def watch(headers: Any) -> str:
        seen.append(headers.get("authorization", ""))
        return account(headers)

    monkeypatch.setattr(provider._memory, "account_of", watch)
    provider.respond(lambda request: Reply(f"You said {request.messages[-1].text}"))
    for way in ("anthropic", "anthropic-stream"):
        assert KEY in say(practised("anthropic"), way, f"My key is {KEY}.")  # the program may say what it likes
        text = (tmp_path / "tape.jsonl").read_text()
        assert "You said My key is (redacted)." in text.replace('\\"', '"') or way.endswith("stream")
        assert KEY not in text
    assert seen == [f"Bearer {KEY}"] * 2
    assert stat.S_IMODE((tmp_path / "tape.jsonl").stat().st_mode) == 0o600


def test_another_model_can_be_asked_for(practised: Practised, provider: ModelDouble) -> None:
    provider.respond(lambda _: Reply("ok"))
    for speaks in ("anthropic", "openai-chat"):
        double = practised(speaks, model="small-one")
        say(double, "anthropic")
        assert provider.journal.since()[-1].request.model == "small-one"


def test_embeddings_of_the_course_stay_at_home_and_others_go_upstream(
    practised: Practised, provider: ModelDouble
) -> None:
    double = practised("openai")
    mark = provider.journal.mark()
    with clients(double) as (_, gpt):
        assert len(gpt.embeddings.create(model="meridian-embed-1", input="x").data[0].embedding) == 256
        assert provider.journal.mark() == mark
        with pytest.raises(openai.NotFoundError):
            gpt.embeddings.create(model="text-embedding-3-small", input="x")
    assert provider.journal.mark() == mark + 1


def replayed(lab: Lab, tape: Path, speaks: str, stack: ExitStack) -> ModelDouble:
    double = stack.enter_context(ModelDouble())
    upstreamed(lab, Upstream(speaks, replay=tape), {})(double, stack)  # type: ignore[arg-type]
    return double


@pytest.mark.parametrize("speaks", ["anthropic", "openai", "openai-chat"])
def test_what_was_recorded_is_replayed_offline(
    practised: Practised, provider: ModelDouble, lab: Lab, tmp_path: Path, speaks: str
) -> None:
    provider.script(*(Reply(f"answer {n}, long enough for pieces") for n in range(len(WAYS))))
    double = practised(speaks)
    heard = [say(double, way) for way in WAYS]
    mark = provider.journal.mark()
    with ExitStack() as stack:
        again = replayed(lab, tmp_path / "tape.jsonl", speaks, stack)
        assert [say(again, way) for way in WAYS] == heard or speaks != "openai"
        assert {exchange.step for exchange in again.journal.since()} == {"upstream"}
    assert provider.journal.mark() == mark


def test_the_same_request_gets_its_takes_in_order(
    practised: Practised, provider: ModelDouble, lab: Lab, tmp_path: Path
) -> None:
    provider.script(Fail(529), Reply("one"), Reply("two"))
    double = practised("anthropic")

    def outcome(asked: ModelDouble) -> str:
        try:
            return say(asked, "anthropic")
        except anthropic.APIStatusError as error:
            return str(error.status_code)

    assert [outcome(double) for _ in range(3)] == ["529", "one", "two"]
    with ExitStack() as stack:
        again = replayed(lab, tmp_path / "tape.jsonl", "anthropic", stack)
        assert [outcome(again) for _ in range(4)] == ["529", "one", "two", "two"]


def test_a_miss_says_which_part_differed(practised: Practised, provider: ModelDouble, lab: Lab, tmp_path: Path) -> None:
    provider.respond(lambda _: Reply("ok"))
    double = practised("anthropic")
    say(double, "anthropic", "What does storage cost at Arden?")
    say(double, "anthropic", "Something else entirely")
    with ExitStack() as stack:
        again = replayed(lab, tmp_path / "tape.jsonl", "anthropic", stack)
        with pytest.raises(anthropic.BadRequestError) as missed:
            say(again, "anthropic", "What does storage cost at Belmere?")
        words = str(missed.value)
        assert "recording #1, differs in messages.0.content: " in words
        assert "Arden?" in words
        assert "Belmere?" in words
        with pytest.raises(anthropic.BadRequestError, match="stream: recorded nothing, sent True"):
            say(again, "anthropic-stream", "Something else entirely")
        with pytest.raises(openai.BadRequestError, match=r"differs in max_tokens: recorded 99, sent 4096"):
            say(again, "chat", "Something else entirely")


def test_order_of_keys_and_who_asks_do_not_matter(lab: Lab, tmp_path: Path) -> None:
    take = {
        "method": "POST",
        "path": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": "me"},
        "status": 200,
        "headers": {"content-type": "application/json"},
        "reply": {"text": '{"id": "x"}'},
    }
    tape = tmp_path / "tape.jsonl"
    tape.write_text('{"format": 1, "what": "upstream"}\n' + json.dumps(take) + "\n")
    with ExitStack() as stack:
        double = replayed(lab, tape, "openai", stack)
        body = '{"user": "you", "messages": [{"content": "hi", "role": "user"}], "model": "m"}'
        headers = {"authorization": "Bearer k"}
        reply = httpx2.post(double.openai_base_url + "/chat/completions", content=body, headers=headers)
        assert reply.json() == {"id": "x"}
