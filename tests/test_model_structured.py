"""Structured output, tools and endings on the Anthropic wire, as the official SDK asks for them and reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pydantic
import pytest

from grader.model.script import Refuse, Reply, Step, Thinking, ToolCall, Turn, Unfaithful
from grader.model.server import ModelDouble

from .model_clients import strict_async_claude, strict_claude

SAID: list[Any] = [{"role": "user", "content": "Where is MFX-4471-B?"}]
JSON = '{"id": "MFX-4471-B", "days": 3, "berth": null}'
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["id", "days"],
    "additionalProperties": False,
}
FORMAT: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}


class Shipment(pydantic.BaseModel):
    id: str
    days: int = pydantic.Field(ge=0)
    berth: str | None


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


def test_a_pydantic_model_is_asked_for_and_parsed(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(*[Reply(JSON)] * 3)
    wanted = Shipment(id="MFX-4471-B", days=3, berth=None)
    parsed = claude.messages.parse(model="any", max_tokens=50, messages=SAID, output_format=Shipment)
    assert parsed.parsed_output == wanted
    with claude.messages.stream(model="any", max_tokens=50, messages=SAID, output_format=Shipment) as stream:
        assert stream.get_final_message().parsed_output == wanted

    async def later() -> Any:
        async with strict_async_claude(double) as client:
            return await client.messages.parse(model="any", max_tokens=50, messages=SAID, output_format=Shipment)

    assert asyncio.run(later()).parsed_output == wanted
    schema = double.journal.requests()[-1].output_schema
    assert schema is not None
    assert set(schema["properties"]) == {"id", "days", "berth"}
    assert double.protocol_faults == ()


@pytest.mark.parametrize("stream", [False, True])
def test_json_against_the_schema_is_our_fault(double: ModelDouble, claude: anthropic.Anthropic, stream: bool) -> None:
    double.script(Reply('{"id": 7}'), Unfaithful(Reply('{"id": 7}')))
    for _ in range(2):  # the second is so on purpose
        reply = claude.messages.create(
            model="any",
            max_tokens=50,
            messages=SAID,
            output_config=FORMAT,
            stream=stream,
        )
        if stream:
            list(reply)
        assert len(double.protocol_faults) == 1
    assert "does not satisfy the schema" in double.protocol_faults[0]


@pytest.mark.parametrize("step", [Refuse("No."), Reply('{"id": "MF', stop="max_tokens")])
def test_a_refusal_or_a_cut_reply_need_not_be_json(
    double: ModelDouble, claude: anthropic.Anthropic, step: Step
) -> None:
    double.script(step)
    claude.messages.create(model="any", max_tokens=50, messages=SAID, output_config=FORMAT)
    assert double.protocol_faults == ()


def changed(**changes: Any) -> dict[str, Any]:
    return {**SCHEMA, **changes}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"format": {"type": "json_object"}}, "output_config.format.type: Input should be 'json_schema'"),
        ({"format": {"type": "json_schema"}}, "output_config.format.schema: Field required"),
        ({"format": "json"}, "output_config.format: Input should be an object"),
        ({"effort": "extreme"}, "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh', 'max'"),
        ({"verbosity": "low"}, "output_config.verbosity: Extra inputs are not permitted"),
        ("json", "output_config: Input should be an object"),
        ({"format": {"type": "json_schema", "schema": changed(additionalProperties=True)}}, "additionalProperties"),
        (
            {"format": {"type": "json_schema", "schema": changed(properties={"n": {"type": "integer", "minimum": 1}})}},
            "minimum",
        ),
        ({"format": {"type": "json_schema", "schema": {"type": "strin"}}}, "output_config.format.schema"),
        (
            {
                "format": {
                    "type": "json_schema",
                    "schema": changed(properties={str(n): {"type": "string"} for n in range(30)}, required=[]),
                }
            },
            "optional parameters (30)",
        ),
    ],
)
def test_a_format_that_the_vendor_would_refuse_is_refused(
    double: ModelDouble, claude: anthropic.Anthropic, config: Any, words: str
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model="any", max_tokens=50, messages=SAID, output_config=config)
    assert words in str(caught.value.api_message)
    del double


def tool(name: str = "find", **changes: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": SCHEMA, **changes}


FIND = [tool()]
CALL = ToolCall("find", {"id": "MFX", "days": 3})


def test_parallel_calls_stream_their_arguments(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    turn = Turn(Reply("Let me look."), CALL, ToolCall("find", {"id": "B" * 60, "days": 4}))
    double.script(turn, turn)
    request: Any = {"model": "any", "max_tokens": 50, "messages": SAID, "tools": [tool(strict=True)]}
    plain = claude.messages.create(**request)
    with claude.messages.stream(**request) as stream:
        partial = [event.partial_json for event in stream if event.type == "input_json"]
        streamed: Any = stream.get_final_message()
    assert len(partial) > 4
    for message in (plain, streamed):
        inputs = [block.input for block in message.content if block.type == "tool_use"]
        assert inputs == [call.arguments for call in turn.tool_calls]
        assert message.stop_reason == "tool_use"
    assert double.protocol_faults == ()


def test_a_tool_that_was_not_offered_may_be_answered(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    """A script that calls one on purpose does not make the program's honest answer a bad request."""
    double.script(Unfaithful(ToolCall("fly", {})), Reply("Sorry."))
    tools: Any = FIND
    first = claude.messages.create(model="any", max_tokens=50, messages=SAID, tools=tools)
    call = first.content[0]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "no such tool", "is_error": True}
    history: list[Any] = [*SAID, first.to_param(), {"role": "user", "content": [result]}]
    assert claude.messages.create(model="any", max_tokens=50, messages=history, tools=tools).stop_reason == "end_turn"
    history[1] = {"role": "assistant", "content": [{"type": "tool_use", "id": "made-up", "name": "fly", "input": {}}]}
    history[2] = {"role": "user", "content": [{**result, "tool_use_id": "made-up"}]}
    with pytest.raises(anthropic.BadRequestError, match="Tool 'fly' not found in tools"):
        claude.messages.create(model="any", max_tokens=50, messages=history, tools=tools)
    with pytest.raises(anthropic.BadRequestError, match="must define tools"):
        claude.messages.create(model="any", max_tokens=50, messages=history)
    assert double.protocol_faults == ()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Reply("done"), "end_turn"),
        (Reply("do", stop="max_tokens"), "max_tokens"),
        (Reply("do", stop="stop_sequence"), "stop_sequence"),
        (CALL, "tool_use"),
        (Turn(Thinking("hm"), Reply("wait"), stop="pause"), "pause_turn"),
        (Reply("full", stop="context_window"), "model_context_window_exceeded"),
        (Refuse("No.", category="cyber"), "refusal"),
    ],
)
def test_every_ending_is_said_plain_and_streamed(
    double: ModelDouble, claude: anthropic.Anthropic, step: Step, reason: str
) -> None:
    double.script(step, step)
    request: Any = {"model": "any", "max_tokens": 50, "messages": SAID, "tools": FIND, "stop_sequences": ["END"]}
    plain = claude.messages.create(**request)
    with claude.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    assert (plain.stop_reason, streamed.stop_reason) == (reason, reason)
    assert plain.stop_sequence == ("END" if reason == "stop_sequence" else None)
    if reason == "refusal":
        assert plain.stop_details is not None
        assert (plain.stop_details.category, plain.stop_details.explanation) == ("cyber", "No.")
    assert double.protocol_faults == ()


def test_a_paused_turn_is_sent_back_and_goes_on(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("Let me", stop="pause"), Reply(" see."))
    paused = claude.messages.create(model="claude-opus-5-5", max_tokens=50, messages=SAID)
    history: list[Any] = [*SAID, {"role": "assistant", "content": [block.to_dict() for block in paused.content]}]
    assert claude.messages.create(model="claude-opus-5-5", max_tokens=50, messages=history).stop_reason == "end_turn"
    history[1] = {"role": "assistant", "content": "The answer is"}
    with pytest.raises(anthropic.BadRequestError, match="does not support assistant message prefill"):
        claude.messages.create(model="claude-opus-5-5", max_tokens=50, messages=history)
