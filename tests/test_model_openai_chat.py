"""Chat Completions as the official SDK sees it: strict output, strict functions, cached tokens, what is not here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from grader.model.script import Cut, Fail, Refuse, Reply, Step, Thinking, ToolCall, Turn
from grader.model.server import ModelDouble

HELLO: list[Any] = [{"role": "user", "content": "Where is shipment MFX-4471-B? Answer in JSON."}]
ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["id", "days"],
    "additionalProperties": False,
}
LOOSE: list[Any] = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}]
GOOD = '{"id": "MFX", "days": 3, "berth": "north"}'


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


def schema_of(schema: Any, *, strict: bool = True) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "shipment", "schema": schema, "strict": strict}}


def test_strict_output_is_parsed_plain_and_streamed(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply(GOOD), Reply(GOOD))
    expected = Shipment(id="MFX", days=3, berth="north")
    plain = gpt.chat.completions.parse(model="any", messages=HELLO, response_format=Shipment)
    assert plain.choices[0].message.parsed == expected
    with gpt.chat.completions.stream(model="any", messages=HELLO, response_format=Shipment) as stream:
        kinds = {event.type for event in stream}
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.parsed == expected
    assert {"chunk", "content.delta", "content.done"} <= kinds


def test_async_parse_and_stream_work(double: ModelDouble) -> None:
    async def talk() -> list[Any]:
        async with openai.AsyncOpenAI(
            base_url=double.openai_base_url, api_key="dummy", _strict_response_validation=True
        ) as client:
            plain = await client.chat.completions.parse(model="any", messages=HELLO, response_format=Shipment)
            async with client.chat.completions.stream(model="any", messages=HELLO, response_format=Shipment) as stream:
                streamed = await stream.get_final_completion()
            return [plain.choices[0].message.parsed, streamed.choices[0].message.parsed]

    double.script(Reply(GOOD), Reply(GOOD))
    assert asyncio.run(talk()) == [Shipment(id="MFX", days=3, berth="north")] * 2


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {}}, "'additionalProperties' is required to be supplied and to be false"),
        ({**ARGUMENTS, "required": ["id"]}, "Missing 'days'"),
        ({"type": "array", "items": ARGUMENTS}, "got 'type: \"array\"'"),
    ],
)
def test_a_bad_schema_is_refused_where_it_is_strict(
    double: ModelDouble, gpt: openai.OpenAI, schema: Any, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match="Invalid schema for response_format 'shipment'") as refused:
        gpt.chat.completions.create(model="any", messages=HELLO, response_format=schema_of(schema))
    assert words in refused.value.message
    assert (refused.value.param, refused.value.type) == ("response_format", "invalid_request_error")
    assert double.journal.since()[-1].step == "rejected"


def test_a_schema_that_is_not_strict_may_say_more(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Reply("no promise"))
    loose = schema_of({"type": "object", "properties": {"a": {"oneOf": []}}}, strict=False)
    assert gpt.chat.completions.create(model="any", messages=HELLO, response_format=loose).choices


def test_a_bad_schema_of_a_strict_function_is_refused(gpt: openai.OpenAI) -> None:
    bad: list[Any] = [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}]
    with pytest.raises(openai.BadRequestError, match="Invalid schema for function 'f'") as refused:
        gpt.chat.completions.create(model="any", messages=HELLO, tools=bad)
    assert (refused.value.param, refused.value.code) == (
        "tools[0].function.parameters",
        "invalid_function_parameters",
    )


def test_json_mode_promises_an_object(running: ModelDouble, gpt: openai.OpenAI) -> None:
    running.reset()
    wanted: Any = {"type": "json_object"}
    running.script(Reply('{"id": 7}'), Reply("[1]"))
    gpt.chat.completions.create(model="any", messages=HELLO, response_format=wanted)
    gpt.chat.completions.create(model="any", messages=HELLO, response_format=wanted)
    (fault,) = running.protocol_faults  # the second one's
    assert "[1] is not of type 'object'" in fault


@pytest.mark.parametrize("stream", [False, True])
def test_arguments_of_a_strict_function_are_parsed(double: ModelDouble, gpt: openai.OpenAI, stream: bool) -> None:
    request: Any = {
        "model": "any",
        "messages": HELLO,
        "tools": [openai.pydantic_function_tool(Shipment, name="record")],
    }
    double.script(ToolCall("record", json.loads(GOOD)))
    if stream:
        with gpt.chat.completions.stream(**request) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = gpt.chat.completions.parse(**request).choices[0].message
    assert message.tool_calls
    assert message.tool_calls[0].function.parsed_arguments == Shipment(id="MFX", days=3, berth="north")


@pytest.mark.parametrize("step", [Refuse("No."), Reply('{"id": "MF', stop="max_tokens")])
def test_a_refusal_or_a_cut_reply_breaks_no_promise(double: ModelDouble, gpt: openai.OpenAI, step: Step) -> None:
    double.script(step)
    reply = gpt.chat.completions.create(model="any", messages=HELLO, response_format=schema_of(ARGUMENTS))
    assert reply.choices[0].finish_reason in ("stop", "length")


def test_a_streamed_refusal_arrives_as_one(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Refuse("I will not plan that."))
    with gpt.chat.completions.stream(model="any", messages=HELLO, response_format=Shipment) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert (message.refusal, message.parsed) == ("I will not plan that.", None)
    assert kinds.count("refusal.delta") == 2


def test_reasoning_is_counted_and_not_shown(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Turn(Thinking("x" * 400), Reply("At Arden.")))
    usage = gpt.chat.completions.create(model="any", messages=HELLO).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert (usage.completion_tokens_details.reasoning_tokens, usage.completion_tokens) == (100, 103)


# --- the prompt cache -----------------------------------------------------------------------------------------------


def prompt(tokens: int, last: str = "?", letter: str = "a") -> list[Any]:
    return [{"role": "system", "content": letter * 4 * tokens}, {"role": "user", "content": last}]


def cached(gpt: openai.OpenAI, messages: list[Any], **more: Any) -> tuple[int, int]:
    usage = gpt.chat.completions.create(model=more.pop("model", "any"), messages=messages, **more).usage
    assert usage is not None
    details = usage.prompt_tokens_details
    assert details is not None
    return details.cached_tokens or 0, details.cache_write_tokens or 0


@pytest.fixture
def answering(double: ModelDouble) -> Iterator[ModelDouble]:
    double.respond(lambda _: Reply("fine"))
    yield double
    double.respond(None)


@pytest.mark.usefixtures("answering")
class TestThePromptCache:
    def test_an_equal_prefix_is_read_in_blocks_of_128(self, gpt: openai.OpenAI) -> None:
        assert cached(gpt, prompt(1500, "one")) == (0, 1408)
        assert cached(gpt, prompt(1500, "two")) == (1408, 0)
        assert cached(gpt, prompt(1500, "x" * 4 * 300)) == (1408, 384)

    def test_nothing_below_1024_tokens_is_kept(self, gpt: openai.OpenAI) -> None:
        assert [cached(gpt, prompt(1000, "q")) for _ in range(2)] == [(0, 0), (0, 0)]

    def test_a_growing_conversation_reads_all_that_it_said_before(self, gpt: openai.OpenAI) -> None:
        first = prompt(1024, "b" * 4 * 128)
        more = [{"role": "assistant", "content": "fine"}, {"role": "user", "content": "c" * 4 * 200}]
        assert cached(gpt, first) == (0, 1152)
        assert cached(gpt, [*first, *more]) == (1152, 128)

    @pytest.mark.parametrize(
        "changed",
        [
            {"model": "other"},
            {"prompt_cache_key": "tenant-2"},
            {"tools": LOOSE},
            {"reasoning_effort": "low"},
            {"response_format": schema_of(ARGUMENTS, strict=False)},
        ],
    )
    def test_a_change_of_settings_misses(self, gpt: openai.OpenAI, changed: Any) -> None:
        same = prompt(1100, letter="d")
        cached(gpt, same)
        assert cached(gpt, same) == (1024, 0)
        assert cached(gpt, same, **changed)[0] == 0

    def test_a_change_at_the_head_misses_all(self, gpt: openai.OpenAI) -> None:
        cached(gpt, prompt(1100, letter="e"))
        later = prompt(1100, letter="e")
        later[0]["content"] = "It is Monday." + later[0]["content"]
        assert cached(gpt, later)[0] == 0

    def test_what_was_kept_is_gone_after_its_lifetime(self, answering: ModelDouble, gpt: openai.OpenAI) -> None:
        same = prompt(1100, letter="f")
        cached(gpt, same)
        answering.advance(29 * 60)
        assert cached(gpt, same) == (1024, 0)
        answering.advance(31 * 60)
        assert cached(gpt, same) == (0, 1024)

    def test_another_key_reads_nothing(self, answering: ModelDouble, gpt: openai.OpenAI) -> None:
        same = prompt(1100, letter="g")
        cached(gpt, same)
        with openai.OpenAI(base_url=answering.openai_base_url, api_key="another") as other:
            assert cached(other, same)[0] == 0

    def test_in_explicit_mode_only_marks_are_kept(self, gpt: openai.OpenAI) -> None:
        explicit = {"prompt_cache_options": {"mode": "explicit"}}
        part = {"type": "text", "text": "h" * 4 * 1101}
        bare: list[Any] = [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]
        marked: list[Any] = [{"role": "user", "content": [{**part, "prompt_cache_breakpoint": {"mode": "explicit"}}]}]
        assert [cached(gpt, bare, **explicit) for _ in range(2)] == [(0, 0), (0, 0)]
        assert [cached(gpt, marked, **explicit) for _ in range(2)] == [(0, 1101), (1101, 0)]

    def test_the_journal_has_the_same_numbers(self, answering: ModelDouble, gpt: openai.OpenAI) -> None:
        for _ in range(2):
            cached(gpt, prompt(1100, letter="i"))
        first, second = answering.journal.since()[-2:]
        assert (first.input_tokens, first.cache_write_tokens, first.cache_read_tokens) == (77, 1024, 0)
        assert (second.input_tokens, second.cache_write_tokens, second.cache_read_tokens) == (77, 0, 1024)


def test_a_stream_may_end_in_an_error(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Cut(Reply("a text of several pieces that is cut"), after_events=2, error=Fail(500)))
    stream = gpt.chat.completions.create(model="any", messages=HELLO, stream=True)
    seen: list[str] = []
    with pytest.raises(openai.APIError, match="The server had an error"):
        seen.extend(chunk.choices[0].delta.content or "" for chunk in stream)


def test_errors_have_an_id_and_the_vendors_headers(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Fail(429))
    with pytest.raises(openai.RateLimitError) as limited:
        gpt.chat.completions.create(model="any", messages=HELLO)
    assert (limited.value.request_id or "").startswith("req_")
    headers = limited.value.response.headers
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert int(headers["openai-processing-ms"]) >= 0
    assert limited.value.code == "rate_limit_exceeded"
