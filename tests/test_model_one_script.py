"""One script has one meaning on every chat wire, plain and streamed, for the SDKs and in the journal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from grader.model.journal import CHAT_WIRES, Exchange
from grader.model.script import (
    Cut,
    Disconnect,
    Fail,
    Garbage,
    Hold,
    Refuse,
    Reply,
    Slow,
    Step,
    Thinking,
    ToolCall,
    Turn,
    Unfaithful,
)
from grader.model.server import ModelDouble

PATIENCE = 20
LONG = "The shipment waits at Arden for a customs release; storage costs 41 euros a day. " * 4
SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
BROKEN_OFF = (anthropic.APIConnectionError, openai.APIConnectionError, httpx2.RemoteProtocolError)


@dataclass(frozen=True)
class Said:
    """What a program got, in words of no vendor."""

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    refused: bool = False
    cut_short: bool = False


class Program:
    """A program that speaks one wire with the official SDK."""

    def __init__(self, double: ModelDouble, wire: str, *, stream: bool) -> None:
        self.wire, self.stream = wire, stream
        options: Any = {"api_key": "k", "max_retries": 0, "_strict_response_validation": True}
        self._claude = anthropic.Anthropic(base_url=double.anthropic_base_url, **options)
        self._gpt = openai.OpenAI(base_url=double.openai_base_url, **options)

    def close(self) -> None:
        self._claude.close()
        self._gpt.close()

    def ask(self, text: str = "Where is it?") -> Said:
        by_wire: dict[str, Callable[[str], Said]] = {
            "anthropic": self._messages,
            "openai-chat": self._chat,
            "openai-responses": self._responses,
        }
        return by_wire[self.wire](text)

    def _messages(self, text: str) -> Said:
        request: Any = {
            "model": "any",
            "max_tokens": 500,
            "messages": [{"role": "user", "content": text}],
            "tools": [{"name": "lookup", "input_schema": SCHEMA}],
        }
        if self.stream:
            with self._claude.messages.stream(**request) as stream:
                message = stream.get_final_message()
        else:
            message = self._claude.messages.create(**request)
        return Said(
            "".join(block.text for block in message.content if block.type == "text"),
            tuple((block.name, block.input) for block in message.content if block.type == "tool_use"),
            message.stop_reason == "refusal",
            message.stop_reason == "max_tokens",
        )

    def _chat(self, text: str) -> Said:
        request: Any = {
            "model": "any",
            "messages": [{"role": "user", "content": text}],
            "tools": [{"type": "function", "function": {"name": "lookup", "parameters": SCHEMA}}],
        }
        if self.stream:
            try:
                with self._gpt.chat.completions.stream(**request) as stream:
                    choice: Any = stream.get_final_completion().choices[0]
            except openai.LengthFinishReasonError as cut:
                choice = cut.completion.choices[0]
        else:
            choice = self._gpt.chat.completions.create(**request).choices[0]
        message = choice.message
        calls = ((call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ())
        said = message.refusal if message.refusal is not None else message.content or ""
        return Said(said, tuple(calls), message.refusal is not None, choice.finish_reason == "length")

    def _responses(self, text: str) -> Said:
        request: Any = {
            "model": "any",
            "input": text,
            "tools": [{"type": "function", "name": "lookup", "parameters": SCHEMA}],
        }
        if self.stream:
            events = list(self._gpt.responses.create(**request, stream=True))
            last: Any = events[-1]
            if last.type == "error":
                raise openai.APIError(last.message, request=None, body=None)  # type: ignore[arg-type]  # it is read by nobody
            response = last.response
        else:
            response = self._gpt.responses.create(**request)
        parts = [part for item in response.output if item.type == "message" for part in item.content]
        refusals = [part.refusal for part in parts if part.type == "refusal"]
        calls = [item for item in response.output if item.type == "function_call"]
        return Said(
            "".join(refusals) or response.output_text,
            tuple((call.name, json.loads(call.arguments)) for call in calls),
            bool(refusals),
            response.status == "incomplete",
        )


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


@pytest.fixture(params=[(wire, stream) for wire in CHAT_WIRES for stream in (False, True)], ids=str)
def program(running: ModelDouble, request: pytest.FixtureRequest) -> Iterator[Program]:
    wire, stream = request.param
    made = Program(running, wire, stream=stream)
    yield made
    made.close()


def last(double: ModelDouble) -> Exchange:
    return double.journal.since()[-1]


TWO = (("lookup", {"id": "é"}), ("lookup", {"id": "2"}))
REPLIES: list[tuple[Step, Said, str]] = [
    (Reply("At Arden."), Said("At Arden."), "end"),
    (Reply(LONG), Said(LONG), "end"),
    (Reply("At Ar", stop="max_tokens"), Said("At Ar", cut_short=True), "max_tokens"),
    (ToolCall("lookup", {"id": "7"}), Said("", (("lookup", {"id": "7"}),)), "tool_use"),
    (Turn(ToolCall(*TWO[0]), ToolCall(*TWO[1])), Said("", TWO), "tool_use"),
    (
        Turn(Reply("Let me look."), ToolCall("lookup", {"id": "7"})),
        Said("Let me look.", (("lookup", {"id": "7"}),)),
        "tool_use",
    ),
    (Turn(Thinking("It left on Monday."), Reply("At Arden.")), Said("At Arden."), "end"),
    (Refuse("I will not."), Said("I will not.", refused=True), "refusal"),
    (Slow(Reply("late"), 0.01), Said("late"), "end"),
    (Unfaithful(ToolCall("unknown", {})), Said("", (("unknown", {}),)), "tool_use"),
]


@pytest.mark.parametrize(("step", "said", "stop"), REPLIES, ids=lambda value: type(value).__name__)
def test_a_reply_means_the_same(double: ModelDouble, program: Program, step: Step, said: Said, stop: str) -> None:
    double.script(step)
    got = program.ask()
    if isinstance(step, Refuse) and program.wire == "anthropic":
        # Anthropic's refusal says why beside the content, which may be empty.
        got = Said(said.text, got.calls, got.refused)
    assert got == said
    exchange = last(double)
    assert (exchange.request.wire, exchange.status, exchange.stop, exchange.error) == (program.wire, 200, stop, None)
    assert exchange.reply_text == said.text
    assert tuple((call.name, call.arguments) for call in exchange.tool_calls) == said.calls
    assert all(call.id for call in exchange.tool_calls)


def test_tokens_are_the_same_on_every_wire(double: ModelDouble, program: Program) -> None:
    double.script(Turn(Thinking("x" * 40), Reply("y" * 40), ToolCall("lookup", {"id": "7"})))
    program.ask("z" * 400)
    exchange = last(double)
    # 400 characters of text and the tool's; 40 characters of text, 6 of the name, 10 of the arguments, and the thinking
    assert exchange.input_tokens == 100 + -(-len(exchange.request.tools[0].read) // 4)
    assert (exchange.output_tokens, exchange.reasoning_tokens) == (24, 10)


def test_a_callable_answers(double: ModelDouble, program: Program) -> None:
    double.respond(lambda request: Reply(request.messages[-1].text.upper()))
    assert program.ask("loud").text == "LOUD"
    double.respond(None)


def test_what_is_sent_reads_the_same(double: ModelDouble, program: Program) -> None:
    double.script(Reply("fine"))
    program.ask("Where?")
    request = last(double).request
    assert [(message.role, message.text) for message in request.messages] == [("user", "Where?")]
    assert [(tool.name, tool.schema) for tool in request.tools] == [("lookup", SCHEMA)]
    assert (request.model, request.stream, request.tokens) == ("any", program.stream, 2)


@pytest.mark.parametrize(("status", "name"), [(429, "RateLimitError"), (500, "InternalServerError"), (401, "Auth")])
def test_a_failure_is_the_vendors_error(double: ModelDouble, program: Program, status: int, name: str) -> None:
    double.script(Fail(status, message="Not now."))
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError), match="Not now") as failed:
        program.ask()
    assert failed.value.status_code == status  # type: ignore[attr-defined]  # both have one; mypy sees their common base
    assert type(failed.value).__name__.startswith(name)
    assert (last(double).status, last(double).error) == (status, f"failed with {status}")


def test_a_disconnect_is_no_reply(double: ModelDouble, program: Program) -> None:
    double.script(Disconnect())
    with pytest.raises((anthropic.APIConnectionError, openai.APIConnectionError)):
        program.ask()
    assert last(double).error == "disconnected before the reply"


def test_a_cut_reply_breaks_off(double: ModelDouble, program: Program) -> None:
    double.script(Cut(Reply(LONG), after_events=4))
    with pytest.raises(BROKEN_OFF):
        program.ask()
    assert str(last(double).error).startswith("cut")


def test_a_reply_may_end_in_an_error(double: ModelDouble, program: Program) -> None:
    double.script(Cut(Reply(LONG), after_events=4, error=Fail(500, message="Went down.")))
    with pytest.raises((anthropic.APIError, openai.APIError), match="Went down"):
        program.ask()


def test_garbage_is_no_reply(double: ModelDouble, program: Program) -> None:
    double.script(Garbage(b'{"half": ', status=200))
    # In a stream the SDKs find no event in it: they say so with an assertion, or the list of events is empty.
    expected = (AssertionError, IndexError) if program.stream else json.JSONDecodeError
    with pytest.raises(expected):
        program.ask()
    assert last(double).error == "garbage instead of a reply"


def test_a_held_reply_waits_for_its_gate(double: ModelDouble, program: Program) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("opened"), gate), when=lambda request: "gated" in request.text)
    with ThreadPoolExecutor() as pool:
        late = pool.submit(program.ask, "gated")
        assert not late.done()
        gate.set()
        assert late.result(PATIENCE).text == "opened"


def test_an_unplanned_request_is_refused(double: ModelDouble, program: Program) -> None:
    with pytest.raises((anthropic.BadRequestError, openai.BadRequestError), match="no reply planned"):
        program.ask("surprise")
    assert [unmatched.request.text for unmatched in double.unmatched] == ["\nsurprise"]
