"""The official SDKs, with strict validation on, are the conformance test of the double's wires."""

from __future__ import annotations

import asyncio
import json
import typing
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pydantic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.responses.input_token_count_params import InputTokenCountParams
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from grader.model.script import Refuse, Reply, Step, Stop, ToolCall, Turn, Unfaithful
from grader.model.server import ModelDouble
from grader.model.wires import anthropic_rules, openai_chat_rules, openai_response_rules

HELLO: list[Any] = [{"role": "user", "content": "Where is shipment MFX-4471-B?"}]
LONG = "The shipment waits at Arden for a customs release; storage costs 41 euros a day. " * 20
LOOKUP = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
ANTHROPIC_TOOLS: list[Any] = [{"name": "lookup", "description": "Finds a shipment.", "input_schema": LOOKUP}]
OPENAI_TOOLS: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": LOOKUP}}]
TWO_CALLS = Turn(
    Reply("Let me look."),
    ToolCall("lookup", {"id": "MFX-4471-B", "deep": {"list": [1, 2.5, None, "é"]}}),
    ToolCall("lookup", {"id": "X" * 200}, id="given_1"),
)


class Shipment(pydantic.BaseModel):
    id: str
    days: int


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
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    options = {"api_key": "dummy", "max_retries": 0, "_strict_response_validation": True}
    with anthropic.Anthropic(base_url=running.anthropic_base_url, **options) as client:  # type: ignore[arg-type]  # the options are of several types
        yield client


@pytest.fixture(scope="module")
def gpt(running: ModelDouble) -> Iterator[openai.OpenAI]:
    options = {"api_key": "dummy", "max_retries": 0, "_strict_response_validation": True}
    with openai.OpenAI(base_url=running.openai_base_url, **options) as client:  # type: ignore[arg-type]  # the options are of several types
        yield client


def test_anthropic_gets_a_plain_reply(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("At Arden."))
    message = claude.messages.create(model="any", max_tokens=50, messages=HELLO, system="Be short.")
    assert [block.text for block in message.content if block.type == "text"] == ["At Arden."]
    assert message.stop_reason == "end_turn"
    # 9 + 29 characters
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 3)
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


def test_anthropic_streams_text_and_several_tool_calls(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(TWO_CALLS)
    request: Any = {"model": "any", "max_tokens": 50, "messages": HELLO, "tools": ANTHROPIC_TOOLS}
    with claude.messages.stream(**request) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds.count("content_block_start") == 3
    assert kinds.count("input_json") >= 4
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [call.arguments for call in TWO_CALLS.tool_calls]
    assert calls[0].id.startswith("toolu_")
    assert calls[1].id == "given_1"
    assert message.stop_reason == "tool_use"
    sent = double.journal.since()[-1].tool_calls
    assert [call.id for call in sent] == [call.id for call in calls]


def test_anthropic_streams_the_same_tokens_as_plain(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply(LONG), Reply(LONG))
    plain = claude.messages.create(model="any", max_tokens=50, messages=HELLO)
    with claude.messages.stream(model="any", max_tokens=50, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == LONG
        streamed = stream.get_final_message()
    assert streamed.usage.output_tokens == plain.usage.output_tokens == -(-len(LONG) // 4)
    assert streamed.usage.input_tokens == plain.usage.input_tokens


def test_anthropic_raw_stream_has_every_event_in_order(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply("ok"))
    events = claude.messages.create(model="any", max_tokens=50, messages=HELLO, stream=True)
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_anthropic_answers_a_tool_result(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(ToolCall("lookup", {"id": "7"}), Reply("It is at Arden."))
    first = claude.messages.create(model="any", max_tokens=50, messages=HELLO, tools=ANTHROPIC_TOOLS)
    call = next(block for block in first.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "berth 4"}]}
    followed: list[Any] = [*HELLO, first.to_param(), {"role": "user", "content": [result]}]
    second = claude.messages.create(model="any", max_tokens=50, messages=followed, tools=ANTHROPIC_TOOLS)
    assert second.stop_reason == "end_turn"
    seen = double.journal.requests()[-1].messages[-1].blocks[0]
    assert (seen.kind, seen.id, seen.text) == ("tool_result", call.id, "berth 4")


def test_anthropic_parses_structured_output(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Reply('{"id": "MFX", "days": 3}'))
    parsed = claude.messages.parse(model="any", max_tokens=50, messages=HELLO, output_format=Shipment)
    assert parsed.parsed_output == Shipment(id="MFX", days=3)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("pause", "pause_turn"),
        ("context_window", "model_context_window_exceeded"),
    ],
)
def test_anthropic_says_why_it_stopped(
    double: ModelDouble, claude: anthropic.Anthropic, stop: Stop, reason: str
) -> None:
    double.script(Reply("cut", stop=stop))
    message = claude.messages.create(model="any", max_tokens=50, messages=HELLO, stop_sequences=["END"])
    assert message.stop_reason == reason
    assert message.stop_sequence == ("END" if stop == "stop_sequence" else None)


def test_anthropic_refuses_plain_and_streamed(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Refuse("No."), Refuse("No."))
    plain = claude.messages.create(model="any", max_tokens=50, messages=HELLO)
    with claude.messages.stream(model="any", max_tokens=50, messages=HELLO) as stream:
        streamed = stream.get_final_message()
    for message in (plain, streamed):
        assert message.stop_reason == "refusal"
    assert plain.stop_details is not None
    assert plain.stop_details.explanation == "No."


def test_anthropic_async_client_works(double: ModelDouble) -> None:
    async def talk() -> tuple[str, str]:
        async with anthropic.AsyncAnthropic(
            base_url=double.anthropic_base_url, api_key="dummy", _strict_response_validation=True
        ) as client:
            plain = await client.messages.create(model="any", max_tokens=50, messages=HELLO)
            async with client.messages.stream(model="any", max_tokens=50, messages=HELLO) as stream:
                streamed = await stream.get_final_text()
            block = plain.content[0]
            return block.text if block.type == "text" else "", streamed

    double.script(Reply("one"), Reply("two"))
    assert asyncio.run(talk()) == ("one", "two")


def test_anthropic_tool_runner_works_with_full_history(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    @anthropic.beta_tool
    def add(a: int, b: int) -> str:
        """Adds.

        Args:
            a: one number
            b: the other
        """
        return str(a + b)

    double.script(ToolCall("add", {"a": 2, "b": 3}), Reply("5"))
    mark = double.journal.mark()
    runner = claude.beta.messages.tool_runner(model="any", max_tokens=50, messages=HELLO, tools=[add], thread=False)
    assert [block.text for block in runner.until_done().content if block.type == "text"] == ["5"]
    assert double.journal.requests(mark)[1].messages[-1].text == "5"


def test_openai_gets_a_plain_reply(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    messages: list[Any] = [{"role": "developer", "content": "Be short."}, *HELLO]
    completion = gpt.chat.completions.create(model="any", messages=messages)
    assert completion.choices[0].message.content == "At Arden."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (10, 3)
    assert completion.usage.total_tokens == 13
    assert completion._request_id is not None


def test_openai_streams_text_and_several_tool_calls(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(TWO_CALLS)
    request: Any = {"model": "any", "messages": HELLO, "tools": OPENAI_TOOLS}
    with gpt.chat.completions.stream(**request) as stream:
        kinds = {event.type for event in stream}
        completion = stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in kinds
    message = completion.choices[0].message
    assert message.content == "Let me look."
    calls = [json.loads(call.function.arguments) for call in message.tool_calls or ()]
    assert calls == [call.arguments for call in TWO_CALLS.tool_calls]
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is None


def test_openai_streams_usage_only_when_asked(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply(LONG), Reply(LONG))
    without = list(gpt.chat.completions.create(model="any", messages=HELLO, stream=True))
    asked = list(
        gpt.chat.completions.create(model="any", messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert all("usage" not in chunk.model_fields_set for chunk in without)
    assert [chunk.usage for chunk in asked[:-1]] == [None] * (len(asked) - 1)
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert asked[-1].usage.completion_tokens == -(-len(LONG) // 4)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in without) == LONG


def test_openai_answers_a_tool_message(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(ToolCall("lookup", {"id": "7"}), Reply("It is at Arden."))
    first = gpt.chat.completions.create(model="any", messages=HELLO, tools=OPENAI_TOOLS)
    message = first.choices[0].message
    assert message.content is None
    assert message.tool_calls
    call = message.tool_calls[0]
    answer = {"role": "tool", "tool_call_id": call.id, "content": "berth 4"}
    followed: list[Any] = [*HELLO, message.to_dict(), answer]
    second = gpt.chat.completions.create(model="any", messages=followed, tools=OPENAI_TOOLS)
    assert second.choices[0].message.content == "It is at Arden."
    seen = double.journal.requests()[-1].messages[-1].blocks[0]
    assert (seen.kind, seen.id, seen.text) == ("tool_result", call.id, "berth 4")


def test_openai_parses_structured_output(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply('{"id": "MFX", "days": 3}'))
    parsed = gpt.chat.completions.parse(model="any", messages=HELLO, response_format=Shipment)
    assert parsed.choices[0].message.parsed == Shipment(id="MFX", days=3)


def test_openai_refuses_plain_and_streamed(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Refuse("No."), Refuse("No."))
    plain = gpt.chat.completions.create(model="any", messages=HELLO)
    with gpt.chat.completions.stream(model="any", messages=HELLO) as stream:
        streamed = stream.get_final_completion()
    for message in (plain.choices[0].message, streamed.choices[0].message):
        assert message.refusal == "No."
        assert message.content is None


@pytest.mark.parametrize(("stop", "reason"), [("max_tokens", "length"), ("stop_sequence", "stop")])
def test_openai_says_why_it_stopped(double: ModelDouble, gpt: openai.OpenAI, stop: Stop, reason: str) -> None:
    double.script(Reply("cut", stop=stop))
    assert gpt.chat.completions.create(model="any", messages=HELLO).choices[0].finish_reason == reason


def test_openai_async_client_works(double: ModelDouble) -> None:
    async def talk() -> tuple[str | None, str]:
        async with openai.AsyncOpenAI(
            base_url=double.openai_base_url, api_key="dummy", _strict_response_validation=True
        ) as client:
            plain = await client.chat.completions.create(model="any", messages=HELLO)
            chunks = await client.chat.completions.create(model="any", messages=HELLO, stream=True)
            streamed = [chunk.choices[0].delta.content or "" async for chunk in chunks]
            return plain.choices[0].message.content, "".join(streamed)

    double.script(Reply("one"), Reply("two"))
    assert asyncio.run(talk()) == ("one", "two")


def test_both_vendors_list_models(double: ModelDouble, claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    mark = double.journal.mark()
    assert "meridian-embed-1" in [model.id for model in gpt.models.list()]
    assert all(model.id.startswith("claude") for model in claude.models.list())
    assert double.journal.mark() == mark


def test_a_reply_that_breaks_the_schema_is_our_fault(running: ModelDouble, claude: anthropic.Anthropic) -> None:
    running.reset()
    broken: Any = {"not json": {1, 2}}
    running.script(Unfaithful(ToolCall("lookup", broken)))
    with pytest.raises(anthropic.InternalServerError, match="not your fault"):
        claude.messages.create(model="any", max_tokens=50, messages=HELLO)
    assert len(running.protocol_faults) == 1
    wrong_id: Any = 7
    running.script(Unfaithful(ToolCall("lookup", {}, id=wrong_id)))
    with pytest.raises(anthropic.APIResponseValidationError):
        claude.messages.create(model="any", max_tokens=50, messages=HELLO)
    assert any("ToolUseBlock.id: Input should be a valid string" in fault for fault in running.protocol_faults)


@pytest.mark.parametrize("step", [Reply("one"), Refuse("two"), TWO_CALLS, Turn(ToolCall("lookup", {}), stop="end")])
def test_no_reply_carries_a_field_the_sdks_do_not_know(
    double: ModelDouble, claude: anthropic.Anthropic, gpt: openai.OpenAI, step: Step
) -> None:
    double.script(*[Unfaithful(step)] * 4)  # nothing was offered or asked for
    for stream in (False, True):
        claude.messages.create(model="any", max_tokens=50, messages=HELLO, stream=stream)
        reply = gpt.chat.completions.create(model="any", messages=HELLO, stream=stream)
        if stream:
            list(reply)


def test_known_fields_are_those_of_the_sdks() -> None:
    sent_as_headers = {"user_profile_id", "workspace_id"}
    of_messages = set(typing.get_type_hints(MessageCreateParamsBase)) - sent_as_headers
    assert anthropic_rules.FIELDS - of_messages == {"stream", "temperature", "top_p", "top_k"}
    assert of_messages - anthropic_rules.FIELDS == set()
    of_chat = set(typing.get_type_hints(CompletionCreateParamsBase))
    assert openai_chat_rules.FIELDS ^ of_chat == {"stream"}
    of_responses = set(typing.get_type_hints(ResponseCreateParamsBase))
    assert openai_response_rules.FIELDS ^ of_responses == {"stream"}
    assert set(typing.get_type_hints(InputTokenCountParams)) == openai_response_rules.COUNTED_FIELDS
