"""Responses as the official SDK sees it: every event in order, what goes on from what, strict output, reasoning."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest
from openai.lib._tools import pydantic_responses_function_tool
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner

from grader.model.script import Cut, Fail, Refuse, Reply, Thinking, ToolCall, Turn
from grader.model.server import ModelDouble

from .response_requests import ASK, LONG, TOOLS, ask

GOOD = '{"id": "MFX", "days": 3, "berth": null}'


class Shipment(pydantic.BaseModel):
    id: str
    days: int
    berth: Literal["north", "south"] | None


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


def test_a_plain_reply_is_complete(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    response = ask(gpt, instructions="Be short.", metadata={"team": "x"}, temperature=0.5)
    assert (response.output_text, response.status) == ("At Arden.", "completed")
    assert (response.instructions, response.metadata, response.temperature) == ("Be short.", {"team": "x"}, 0.5)
    assert response.usage is not None
    # 9 + 29 characters
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (10, 3, 13)
    assert response._request_id is not None
    (request,) = double.journal.requests(wire="openai-responses")[-1:]
    assert (request.system, request.messages[0].text, request.tokens) == ("Be short.", ASK, 10)


def test_a_stream_has_every_event_in_order(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(Thinking("Hm."), Reply("Let me look."), ToolCall("lookup", {"id": "X" * 20})))
    stream = gpt.responses.create(
        model="any", input=ASK, tools=TOOLS, reasoning={"effort": "low", "summary": "auto"}, stream=True
    )
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert [kind for index, kind in enumerate(kinds) if kind != kinds[index - 1]] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    by_item = [event.output_index for event in events if hasattr(event, "output_index")]
    assert by_item == sorted(by_item)
    last = events[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["reasoning", "message", "function_call"]
    assert last.response.usage is not None
    assert last.response.usage.output_tokens_details.reasoning_tokens == 1


def test_deltas_add_up(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply(LONG))
    events = list(gpt.responses.create(model="any", input=ASK, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == LONG


def test_strict_output_is_parsed_plain_and_streamed(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply(GOOD), Reply(GOOD))
    expected = Shipment(id="MFX", days=3, berth=None)
    assert gpt.responses.parse(model="any", input=ASK, text_format=Shipment).output_parsed == expected
    with gpt.responses.stream(model="any", input=ASK, text_format=Shipment) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_parsed == expected
    assert {"response.output_text.delta", "response.output_text.done", "response.completed"} <= kinds


def test_async_create_parse_and_stream_work(double: ModelDouble) -> None:
    async def talk() -> list[Any]:
        async with openai.AsyncOpenAI(
            base_url=double.openai_base_url, api_key="dummy", _strict_response_validation=True
        ) as client:
            plain = await client.responses.create(model="any", input=ASK)
            parsed = await client.responses.parse(model="any", input=ASK, text_format=Shipment)
            async with client.responses.stream(model="any", input=ASK) as stream:
                deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            return [plain.output_text, parsed.output_parsed, "".join(deltas)]

    double.script(Reply("one"), Reply(GOOD), Reply("three"))
    assert asyncio.run(talk()) == ["one", Shipment(id="MFX", days=3, berth=None), "three"]


def test_several_calls_are_items_of_their_own(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(ToolCall("lookup", {"id": "é"}), ToolCall("lookup", {"id": "2"}, id="given_1")))
    calls = [item for item in ask(gpt, tools=TOOLS).output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"id": "é"}, {"id": "2"}]
    assert calls[0].call_id.startswith("call_")
    assert calls[1].call_id == "given_1"
    assert double.journal.since()[-1].stop == "tool_use"


def test_history_may_be_sent_back_item_by_item(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(Thinking("Hm."), ToolCall("lookup", {"id": "7"})), Reply("At Arden."))
    first = ask(gpt, tools=TOOLS, store=False)
    call = next(item for item in first.output if item.type == "function_call")
    history: list[Any] = [
        {"role": "user", "content": ASK},
        *[item.to_dict() for item in first.output],
        {"type": "function_call_output", "call_id": call.call_id, "output": "berth 4"},
    ]
    assert ask(gpt, input=history, tools=TOOLS, store=False).output_text == "At Arden."
    asked, said, told = double.journal.requests()[-1].messages
    assert (asked.text, told.role, told.blocks[0].id, told.text) == (ASK, "tool", call.call_id, "berth 4")
    assert [block.kind for block in said.blocks] == ["thinking", "tool_use"]


def test_a_response_goes_on_from_the_one_before(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(ToolCall("lookup", {"id": "7"}), Reply("It is at Arden."))
    first = ask(gpt, tools=TOOLS, instructions="Be short.")
    call = next(item for item in first.output if item.type == "function_call")
    told: list[Any] = [{"type": "function_call_output", "call_id": call.call_id, "output": "berth 4"}]
    second = ask(gpt, input=told, tools=TOOLS, previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    request = double.journal.requests()[-1]
    tool = len(request.tools[0].read)
    # 29 characters of the question, 9 of the instructions, which are not carried over, 16 of the call, 7 of its output
    assert first.usage.input_tokens == -(-(tool + 29 + 9) // 4)
    assert second.usage.input_tokens == -(-(tool + 29 + 16 + 7) // 4)
    assert request.continues == first.id


@pytest.mark.parametrize("made", ["resp_unknown", "not stored", "of another key"])
def test_an_unknown_previous_response_is_refused(double: ModelDouble, gpt: openai.OpenAI, made: str) -> None:
    name = made
    if made != "resp_unknown":
        double.script(Reply("one"))
        with openai.OpenAI(base_url=double.openai_base_url, api_key="another") as other:
            client = other if made == "of another key" else gpt
            name = ask(client, store=made == "of another key").id
    with pytest.raises(openai.BadRequestError, match=f"Previous response with id '{name}' not found") as refused:
        ask(gpt, previous_response_id=name)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}, "No tool output found for fun"),
        ({"type": "function_call_output", "call_id": "c1", "output": "x"}, "No tool call found for function call out"),
    ],
)
def test_calls_and_outputs_must_pair(gpt: openai.OpenAI, item: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        ask(gpt, input=[{"role": "user", "content": ASK}, item])


def test_a_call_left_open_by_the_previous_response_is_refused(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(ToolCall("lookup", {"id": "7"}))
    first = ask(gpt, tools=TOOLS)
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call call_"):
        ask(gpt, previous_response_id=first.id)


def test_conversations_are_told_apart_by_the_response_before(double: ModelDouble, gpt: openai.OpenAI) -> None:
    one = double.conversation("ticket 1").script(Reply("one, first"), Reply("one, second"))
    two = double.conversation("ticket 2").script(Reply("two, first"), Reply("two, second"))
    first = ask(gpt, input="ticket 1"), ask(gpt, input="ticket 2")
    again = [ask(gpt, input="Go on.", previous_response_id=made.id).output_text for made in reversed(first)]
    assert again == ["two, second", "one, second"]
    assert (len(one.requests), len(two.requests)) == (2, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_arguments_of_a_strict_function_are_parsed(double: ModelDouble, gpt: openai.OpenAI, stream: bool) -> None:
    tool = pydantic_responses_function_tool(Shipment, name="record")
    double.script(ToolCall("record", json.loads(GOOD)))
    if stream:
        with gpt.responses.stream(model="any", input=ASK, tools=[tool]) as events:
            response = events.get_final_response()
    else:
        response = gpt.responses.parse(model="any", input=ASK, tools=[tool])
    call = response.output[0]
    assert call.type == "function_call"
    assert call.parsed_arguments == Shipment(id="MFX", days=3, berth=None)


def test_items_may_be_sent_by_reference(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."), Reply("Yes."))
    said = ask(gpt).output[0]
    assert said.id is not None
    ask(gpt, input=[{"type": "item_reference", "id": said.id}, {"role": "user", "content": "Sure?"}])
    with pytest.raises(openai.NotFoundError, match="Item with id 'msg_no' not found"):
        ask(gpt, input=[{"id": "msg_no"}])


def test_reasoning_must_come_back_as_it_was(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(Thinking("Hm."), Reply("At Arden.")))
    reasoning: dict[str, Any] = ask(gpt).output[0].to_dict()
    assert reasoning["summary"] == []
    sealed = reasoning["encrypted_content"]
    for changed in (sealed[:-3] + "AA=", "x" + sealed[1:], ""):
        with pytest.raises(openai.BadRequestError, match="could not be verified") as refused:
            ask(gpt, input=[{**reasoning, "encrypted_content": changed}, {"role": "user", "content": "So?"}])
        assert refused.value.code == "invalid_encrypted_content"


def test_a_summary_of_reasoning_is_shown_when_asked_for(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(Thinking("It left on Monday."), Reply("At Arden.")))
    item = ask(gpt, reasoning={"summary": "detailed"}).output[0]
    assert item.type == "reasoning"
    assert [part.text for part in item.summary] == ["It left on Monday."]


def test_a_refusal_is_content_plain_and_streamed(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Refuse("No, I will not."), Refuse("No, I will not."))
    message = ask(gpt).output[0]
    assert message.type == "message"
    assert message.content[0].type == "refusal"
    with gpt.responses.stream(model="any", input=ASK, text_format=Shipment) as stream:
        kinds = [event.type for event in stream]
        assert stream.get_final_response().output_parsed is None
    assert {"response.refusal.delta", "response.refusal.done"} <= set(kinds)


def test_a_reply_cut_at_the_limit_is_incomplete(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Ar", stop="max_tokens"), Reply("At Ar", stop="max_tokens"))
    response = ask(gpt, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    message = response.output[0]
    assert message.type == "message"
    assert message.status == "incomplete"
    assert list(gpt.responses.create(model="any", input=ASK, stream=True))[-1].type == "response.incomplete"


def test_the_prompt_cache_counts_earlier_turns(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("fine"), Reply("fine"))
    first = ask(gpt, instructions="a" * 4 * 1100)
    second = ask(gpt, instructions="a" * 4 * 1100, previous_response_id=first.id, input="b" * 4 * 300)
    assert first.usage is not None
    assert second.usage is not None
    details = first.usage.input_tokens_details, second.usage.input_tokens_details
    assert [(d.cached_tokens, d.cache_write_tokens) for d in details] == [(0, 1024), (1024, 384)]


@pytest.mark.parametrize("tools", [TOOLS, [{**TOOLS[0], "strict": None}]])
def test_a_function_is_strict_where_its_schema_allows_it(
    double: ModelDouble, gpt: openai.OpenAI, tools: list[Any]
) -> None:
    double.script(Reply("fine"))
    (tool,) = ask(gpt, tools=tools).tools
    assert tool.type == "function"
    assert tool.strict is True


def test_a_stream_may_end_in_an_error_event(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Cut(Reply(LONG), after_events=5, error=Fail(429, message="Slow down.")))
    *_, last = gpt.responses.create(model="any", input=ASK, stream=True)
    assert last.type == "error"
    assert (last.message, last.code, last.sequence_number) == ("Slow down.", "rate_limit_exceeded", 5)


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdks_tool_runner_runs_to_the_end(double: ModelDouble, gpt: openai.OpenAI, stream: bool) -> None:
    class Lookup(pydantic.BaseModel):
        id: str

    def lookup(wanted: Lookup) -> str:
        return f"{wanted.id} is at berth 4"

    double.script(Turn(ToolCall("lookup", {"id": "7"}), ToolCall("lookup", {"id": "8"})), Reply("At Arden."))
    tool = pydantic_responses_function_tool(Lookup, name="lookup")
    runner = ResponsesToolRunner(functions=[RegisteredFunction.from_tool(tool, execute=lookup)])
    assert runner.run(gpt, {"model": "any", "input": ASK}, stream=stream).output_text == "At Arden."
    told = double.journal.requests()[-1].messages[-2:]
    assert [message.text for message in told] == ["7 is at berth 4", "8 is at berth 4"]
