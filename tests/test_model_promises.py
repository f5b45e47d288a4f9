"""What a script may not reply to a request, on no wire: then the reply is our fault, unless the script says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from grader.model.script import Refuse, Reply, Step, ToolCall, Turn, Unfaithful
from grader.model.server import ModelDouble

SCHEMA = {
    "type": "object",
    "properties": {"days": {"type": "integer"}},
    "required": ["days"],
    "additionalProperties": False,
}
SAID = [{"role": "user", "content": "How long?"}]
CALL = ToolCall("wait", {"days": 3})
OTHER = ToolCall("leave", {"days": 3})
BAD = ToolCall("wait", {"days": "three"})

Sender = Callable[..., None]


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


def anthropic(double: ModelDouble, *, force: str = "auto", strict: bool = False, one: bool = False, json: bool) -> None:
    choice: dict[str, Any] = {"type": force, "disable_parallel_tool_use": one} if force != "none" else {"type": force}
    if force == "wait":
        choice = {"type": "tool", "name": "wait"}
    tools = [{"name": name, "input_schema": SCHEMA, "strict": strict} for name in ("wait", "leave")]
    body = {"model": "m", "max_tokens": 9, "messages": SAID, "tools": tools, "tool_choice": choice}
    if json:
        body = {"model": "m", "max_tokens": 9, "messages": SAID}
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    headers = {"authorization": "Bearer k", "anthropic-version": "1"}
    httpx2.post(f"{double.anthropic_base_url}/v1/messages", json=body, headers=headers).raise_for_status()


def chat(double: ModelDouble, *, force: str = "auto", strict: bool = False, one: bool = False, json: bool) -> None:
    choice: Any = {"any": "required", "wait": {"type": "function", "function": {"name": "wait"}}}.get(force, force)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA, "strict": strict}}
        for name in ("wait", "leave")
    ]
    body = {"model": "m", "messages": SAID, "tools": tools, "tool_choice": choice, "parallel_tool_calls": not one}
    if json:
        wanted = {"name": "wait", "schema": SCHEMA, "strict": True}
        body = {"model": "m", "messages": SAID, "response_format": {"type": "json_schema", "json_schema": wanted}}
    headers = {"authorization": "Bearer k"}
    httpx2.post(f"{double.openai_base_url}/chat/completions", json=body, headers=headers).raise_for_status()


BROKEN: list[tuple[Step, dict[str, Any], str]] = [
    (Reply("No."), {"force": "any"}, "calls no tool although the request forces a tool"),
    (Reply("No."), {"force": "wait"}, "calls no tool although the request forces the tool wait"),
    (OTHER, {"force": "wait"}, "calls leave although the request forces wait"),
    (CALL, {"force": "none"}, "although the request's tool_choice is none"),
    (ToolCall("fly", {}), {}, "calls fly, which the request does not offer (wait, leave)"),
    (Turn(CALL, OTHER), {"one": True}, "makes 2 tool calls although the request wants at most one"),
    (BAD, {"strict": True}, "strict tool wait do not satisfy its schema ($.days: 'three' is not of type 'integer')"),
    (Reply("Well.", stop="tool_use"), {}, "stops for a tool without calling one"),
    (Reply("3 days"), {"json": True}, "wants JSON of a schema and the script's text is none"),
    (Reply('{"days": "3"}'), {"json": True}, "does not satisfy the schema that the request wants"),
]
KEPT: list[tuple[Step, dict[str, Any]]] = [
    (CALL, {"force": "any"}),
    (CALL, {"force": "wait", "strict": True}),
    (Turn(CALL, OTHER), {}),
    (BAD, {}),
    (Reply("I think", stop="max_tokens"), {"force": "any"}),
    (Reply('{"days": ', stop="max_tokens"), {"json": True}),
    (Refuse(), {"force": "wait"}),
    (Refuse(), {"json": True}),
    (Reply('{"days": 3}'), {"json": True}),
]


@pytest.mark.parametrize("send", [anthropic, chat])
@pytest.mark.parametrize(("step", "asked", "words"), BROKEN)
def test_a_broken_promise_is_our_fault(
    double: ModelDouble, send: Sender, step: Step, asked: dict[str, Any], words: str
) -> None:
    double.script(step)
    send(double, **{"json": False, **asked})
    (fault,) = double.protocol_faults
    assert words in fault
    assert fault.endswith("wrap the step in Unfaithful")


@pytest.mark.parametrize("send", [anthropic, chat])
@pytest.mark.parametrize(("step", "asked", "words"), BROKEN)
def test_a_step_may_be_unfaithful_on_purpose(
    double: ModelDouble, send: Sender, step: Step, asked: dict[str, Any], words: str
) -> None:
    del words
    double.script(Unfaithful(step))
    send(double, **{"json": False, **asked})
    assert double.protocol_faults == ()
    assert "Unfaithful" not in double.journal.since()[-1].step


@pytest.mark.parametrize("send", [anthropic, chat])
@pytest.mark.parametrize(("step", "asked"), KEPT)
def test_what_a_provider_would_reply_is_no_fault(
    double: ModelDouble, send: Sender, step: Step, asked: dict[str, Any]
) -> None:
    double.script(step)
    send(double, **{"json": False, **asked})
    assert double.protocol_faults == ()
