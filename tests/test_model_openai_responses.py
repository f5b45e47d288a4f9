"""Responses as the official SDK sees it: every event in order, state, background work, strict output, reasoning."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import openai
import pydantic
import pytest
from openai.lib._tools import pydantic_responses_function_tool
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner

from grader.model.script import Cut, Fail, Hold, Refuse, Reply, Slow, Thinking, ToolCall, Turn
from grader.model.server import ModelDouble

if TYPE_CHECKING:
    from openai.types.responses import Response

PATIENCE = 20
ASK = "Where is shipment MFX-4471-B?"
LONG = "The shipment waits at Arden for a customs release; storage costs 41 euros a day. " * 20
LOOKUP: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}},
    "required": ["id"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [{"type": "function", "name": "lookup", "parameters": LOOKUP, "strict": True}]
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


def ask(gpt: openai.OpenAI, **more: Any) -> Response:
    response: Response = gpt.responses.create(**{"model": "any", "input": ASK, **more})
    return response


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


# --- kept responses -------------------------------------------------------------------------------------------------


def test_a_response_is_kept_until_it_is_deleted(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    assert gpt.responses.retrieve(made.id).to_dict() == made.to_dict()
    gpt.responses.delete(made.id)
    for gone in (gpt.responses.retrieve, gpt.responses.delete, gpt.responses.cancel, gpt.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match=f"Response with id '{made.id}' not found"):
            gone(made.id)


def test_input_items_come_in_pages(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("fine"))
    said: list[Any] = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "input_text", "text": "one"}]},
        {"role": "assistant", "content": "two"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ]
    made = ask(gpt, input=said)
    items = list(gpt.responses.input_items.list(made.id, limit=2, order="asc"))
    assert [item.type for item in items] == [
        "message",
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert [item.id for item in gpt.responses.input_items.list(made.id)] == [item.id for item in reversed(items)]


def test_tokens_are_counted_with_earlier_turns(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    counted = gpt.responses.input_tokens.count(model="any", input="x" * 40, previous_response_id=made.id)
    assert counted.input_tokens == -(-(29 + 9 + 40) // 4)


# --- in the background ----------------------------------------------------------------------------------------------


def test_work_in_the_background_is_done_when_the_check_says(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("At Arden."), gate))
    made = ask(gpt, background=True)
    assert (made.status, made.output_text) == ("queued", "")
    assert [gpt.responses.retrieve(made.id).status for _ in range(2)] == ["in_progress"] * 2
    with pytest.raises(openai.BadRequestError, match="its status is 'in_progress'"):
        ask(gpt, previous_response_id=made.id)
    gate.set()
    done = gpt.responses.retrieve(made.id)
    assert (done.status, done.output_text) == ("completed", "At Arden.")
    assert double.journal.since()[0].request.number
    assert [request.wire for request in double.journal.requests()[-5:]].count("openai-stored-responses") == 3


def test_a_gate_is_looked_at_once_a_look(double: ModelDouble, gpt: openai.OpenAI) -> None:
    class ThirdLook:
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks == 3

    double.script(Hold(Reply("done"), ThirdLook()))
    made = ask(gpt, background=True)
    statuses = [gpt.responses.retrieve(made.id).status for _ in range(3)]
    assert statuses == ["in_progress", "in_progress", "completed"]


def test_work_that_nothing_holds_is_done_at_the_first_look(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    assert gpt.responses.retrieve(ask(gpt, background=True).id).output_text == "At Arden."


def test_slow_work_is_done_by_the_doubles_clock(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Slow(Reply("At Arden."), 3600))
    made = ask(gpt, background=True)
    assert gpt.responses.retrieve(made.id).status == "in_progress"
    double.advance(3600)
    assert gpt.responses.retrieve(made.id).status == "completed"


def test_work_may_be_cancelled_while_it_is_under_way(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Hold(Reply("never"), threading.Event()))
    made = ask(gpt, background=True)
    assert gpt.responses.cancel(made.id).status == "cancelled"
    assert gpt.responses.cancel(made.id).status == "cancelled"
    assert gpt.responses.retrieve(made.id).output == []


def test_what_is_not_in_the_background_cannot_be_cancelled(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    made = ask(gpt)
    with pytest.raises(openai.BadRequestError, match="Cannot cancel a synchronous response"):
        gpt.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="can be streamed again"):
        gpt.responses.retrieve(made.id, stream=True)


def test_work_that_fails_says_so_when_it_is_looked_at(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Fail(429), gate), Fail(500))
    made = ask(gpt, background=True)
    gate.set()
    failed = gpt.responses.retrieve(made.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        ask(gpt, background=True)


def test_a_stream_of_background_work_waits_inside(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("At Arden."), gate))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    first = [next(stream).type for _ in range(3)]
    assert first == ["response.created", "response.queued", "response.in_progress"]
    gate.set()
    rest = list(stream)
    assert rest[-1].type == "response.completed"
    assert rest[0].sequence_number == 3


def test_a_stream_that_broke_is_taken_up_where_it_was(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Cut(Reply(LONG), after_events=9))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    seen: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        seen.extend(stream)
    assert len(seen) == 9
    made = seen[0].response.id
    seen += gpt.responses.retrieve(made, stream=True, starting_after=seen[-1].sequence_number)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == LONG
    with gpt.responses.stream(response_id=made) as again:
        assert again.get_final_response().output_text == LONG


def test_a_stream_of_cancelled_work_ends(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Hold(Reply("never"), threading.Event()))
    stream = gpt.responses.create(model="any", input=ASK, background=True, stream=True)
    made = next(stream)
    assert made.type == "response.created"
    with ThreadPoolExecutor() as pool:
        rest = pool.submit(list, stream)
        gpt.responses.cancel(made.response.id)
        kinds = [event.type for event in rest.result(PATIENCE)]
    assert "response.completed" not in kinds


def test_a_hold_keeps_background_work_under_way(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("At Arden."))
    with double.hold(lambda request: request.wire == "openai-responses") as held:
        made = ask(gpt, background=True)
        assert held.arrived.is_set()
        assert gpt.responses.retrieve(made.id).status == "in_progress"
    assert gpt.responses.retrieve(made.id).status == "completed"


# --- what is refused, and errors ------------------------------------------------------------------------------------

SCHEMA: dict[str, Any] = {"type": "json_schema", "name": "shipment", "schema": LOOKUP, "strict": True}
USER: dict[str, Any] = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ""}, "Missing required parameter: 'model'"),
        ({"input": None}, 'One of "input" or "previous_response_id"'),
        ({"input": 7}, "Invalid type for 'input': expected a string or an array"),
        ({"input": ["x"]}, r"Invalid type for 'input\[0\]'"),
        ({"input": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'"),
        ({"input": [{"type": "message", "content": "x"}]}, r"'input\[0\].role'"),
        ({"input": [{"role": "user"}]}, r"'input\[0\].content'"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "Invalid value: 'text'"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text"}]}]}, "Invalid value: 'input_text'"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, r"content\[0\].text"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "Invalid value: 'web_search_call'"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, r"'input\[0\].name'"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, r"'input\[0\].output'"),
        ({"input": [{"type": "reasoning", "id": "rs_1"}]}, r"'input\[0\].summary'"),
        ({"max_output_tokens": 15}, "Expected a value >= 16, but got 15 instead"),
        ({"max_output_tokens": 10**9}, "max_output_tokens is too large"),
        ({"temperature": 3}, "between 0 and 2"),
        ({"truncation": "sometimes"}, "Invalid value: 'sometimes'"),
        ({"reasoning": {"effort": "huge"}}, "Invalid value: 'huge'"),
        ({"reasoning": "low"}, "Invalid type for 'reasoning'"),
        ({"text": {"format": {"type": "xml"}}}, "Invalid value: 'xml'"),
        ({"text": {"format": {**SCHEMA, "schema": {"type": "object"}}}}, "Invalid schema for response_format 'shipm"),
        ({"tools": [{**TOOLS[0], "parameters": {"type": "object"}}]}, "Invalid schema for function 'lookup'"),
        ({"tools": [{"type": "web_search"}]}, "A tool of type 'web_search' runs at the vendor"),
        ({"tools": [{"type": "function"}]}, r"'tools\[0\].name'"),
        ({"tool_choice": "required"}, "must be specified with 'tools'"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "g"}}, "Tool choice 'g' not found"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "Invalid value",
        ),
        ({"include": ["message.output_text.logprobs"]}, "Unsupported parameter"),
        ({"include": ["all"]}, "Invalid value: 'all'"),
        ({"top_logprobs": 3}, "Unsupported parameter: 'top_logprobs'"),
        ({"prompt": {"id": "pmpt_1"}}, "Unsupported parameter: 'prompt'"),
        ({"background": True, "store": False}, "requires 'store' to be true"),
        ({"stream_options": {"include_obfuscation": False}}, "only allowed when 'stream' is enabled"),
        ({"metadata": {"a": 1}}, "Invalid type for 'metadata.a'"),
        ({"prompt_cache_options": {"prewarm": True}}, "Unsupported parameter: 'prompt_cache_options.prewarm'"),
        ({"extra_body": {"temperatur": 1}}, "Unknown parameter: 'temperatur'"),
        ({"text": {"verbose": "low"}}, "Unknown parameter: 'text.verbose'"),
        ({"reasoning": {"efort": "low"}}, "Unknown parameter: 'reasoning.efort'"),
        ({"tools": [{**TOOLS[0], "stric": True}]}, r"Unknown parameter: 'tools\[0\].stric'"),
        ({"text": {"format": {**SCHEMA, "stric": True}}}, "Unknown parameter: 'text.format.stric'"),
        ({"user": 7}, "Invalid type for 'user': expected a string"),
        ({"max_tool_calls": "1"}, "Invalid type for 'max_tool_calls'"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "Mutually exclusive parameters"),
    ],
)
def test_responses_refuse(gpt: openai.OpenAI, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        ask(gpt, **changes)
    assert (refused.value.request_id or "").startswith("req_")
    assert refused.value.type == "invalid_request_error"


def test_a_bad_schema_names_its_place(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(gpt, text={"format": {**SCHEMA, "schema": {"type": "object"}}})
    assert (refused.value.param, refused.value.code) == ("text.format.schema", "invalid_json_schema")


def test_there_are_no_conversations_here(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_1' not found"):
        ask(gpt, conversation="conv_1")


@pytest.mark.parametrize(
    "changes",
    [
        {"input": [USER, {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}, USER]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]}]},
        {"tools": TOOLS, "tool_choice": {"type": "function", "name": "lookup"}},
        {"tools": [{"type": "function", "name": "f"}], "parallel_tool_calls": False, "max_tool_calls": 3},
        {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [TOOLS[0]]}},
        {"text": {"format": SCHEMA, "verbosity": "low"}, "include": ["reasoning.encrypted_content"]},
        {"service_tier": "flex", "truncation": "auto", "user": "u", "safety_identifier": "s", "top_p": 0.5},
        {"prompt_cache_key": "k", "prompt_cache_options": {"mode": "implicit", "ttl": "12h"}},
        {"prompt_cache_retention": "24h", "max_output_tokens": 16, "reasoning": {"effort": "none"}},
    ],
)
def test_responses_accept(double: ModelDouble, gpt: openai.OpenAI, changes: dict[str, Any]) -> None:
    forced = "tool_choice" in changes
    double.script(ToolCall("lookup", {"id": "1"}) if forced else Reply('{"id": "1"}'))
    assert ask(gpt, **changes).status == "completed"


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
