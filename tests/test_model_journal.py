"""The journal holds what was sent in neutral words, and can be shown without harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import pytest

from grader.model.journal import Block, Exchange, Journal, Message, Request, Tool
from grader.model.lines import from_json, to_json
from grader.model.script import Cut, Fail, Reply, ToolCall, Turn, Unfaithful
from grader.model.server import ModelDouble
from grader.report.inert import inert
from grader.report.wire import Choice, show

KEY = "sk-very-secret"
HEADERS = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "anthropic-version": "2026-10-21", "x-run": "7"}
SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
ANTHROPIC: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be short. "}, {"type": "text", "text": "Cite."}],
    "messages": [
        {"role": "user", "content": "What is it?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "paper"}},
            ],
        },
    ],
    "tools": [{"name": "find", "description": "Finds.", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "find"},
}
OPENAI: dict[str, Any] = {
    "model": "gpt",
    "max_completion_tokens": 100,
    "messages": [
        {"role": "system", "content": "Be short. "},
        {"role": "developer", "content": [{"type": "text", "text": "Cite."}]},
        {"role": "user", "content": "What is it?"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "found"},
        {"role": "user", "content": [{"type": "text", "text": "paper"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "find", "description": "Finds.", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "find"}},
}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    running.respond(lambda _: Turn(Reply("fine"), ToolCall("find", {"q": 2}, id="t9")))
    return running


def render(exchanges: Sequence[Exchange], width: int = 100, colour: bool = False) -> str:
    return show("lab-01", exchanges, Choice(), width=width, colour=colour)


def send(double: ModelDouble, path: str, body: dict[str, Any]) -> Exchange:
    httpx2.post(double.anthropic_base_url + path, json=body, headers=HEADERS).raise_for_status()
    return double.journal.since()[-1]


def test_both_wires_read_the_same_conversation_alike(double: ModelDouble) -> None:
    claude = send(double, "/v1/messages", ANTHROPIC).request
    gpt = send(double, "/v1/chat/completions", OPENAI).request
    for request in (claude, gpt):
        assert request.system == "Be short. Cite."
        assert request.tools == (Tool("find", "Finds.", SCHEMA),)
        assert request.tool_choice == ("tool", "find")
        assert request.max_tokens == 100
        call = next(block for block in request.messages[1].blocks if block.kind == "tool_use")
        assert (call.id, call.name, call.arguments) == ("t1", "find", {"q": 1})
        results = [block for message in request.messages for block in message.blocks if block.kind == "tool_result"]
        assert [(block.id, block.text) for block in results] == [("t1", "found")]
    assert claude.text == "Be short. Cite.\nWhat is it?\nLooking.\nfoundpaper"
    assert gpt.text == "Be short. Cite.\nWhat is it?\nLooking.\nfound\npaper"
    # 15 + 11 + 8 + 5 + 5 characters, without separators of ours
    assert claude.tokens == gpt.tokens == 11


def test_the_prefix_changes_with_any_byte_of_system_or_tools(double: ModelDouble) -> None:
    for path, body in (("/v1/messages", ANTHROPIC), ("/v1/chat/completions", OPENAI)):
        first = send(double, path, body).request.prefix
        other_question = {**body, "messages": [*body["messages"], {"role": "user", "content": "And now?"}]}
        assert send(double, path, other_question).request.prefix == first
        turned = {"properties": {"a": {}, "b": {}}, "type": "object"}
        tool = body["tools"][0]
        moved = (
            {**tool, "input_schema": turned}
            if "input_schema" in tool
            else {**tool, "function": {**tool["function"], "parameters": turned}}
        )
        assert send(double, path, {**body, "tools": [moved]}).request.prefix != first


@pytest.mark.parametrize(("choice", "neutral"), [("auto", "auto"), ("none", "none"), ("required", "any")])
def test_openai_tool_choices_become_neutral(double: ModelDouble, choice: str, neutral: str) -> None:
    assert send(double, "/v1/chat/completions", {**OPENAI, "tool_choice": choice}).request.tool_choice == neutral


@pytest.mark.parametrize("choice", ["auto", "none", "any"])
def test_anthropic_tool_choices_become_neutral(double: ModelDouble, choice: str) -> None:
    assert send(double, "/v1/messages", {**ANTHROPIC, "tool_choice": {"type": choice}}).request.tool_choice == choice


def test_half_a_surrogate_pair_does_no_harm(double: ModelDouble) -> None:
    double.respond(lambda asked: Unfaithful(Turn(Reply(asked.text), ToolCall("find", {"q": asked.text}))))
    body = '{"model":"m","max_tokens":9,"stream":%s,"messages":[{"role":"user","content":"a\\ud83d"}]}'
    for path in ("/v1/messages", "/v1/chat/completions"):
        for stream in ("true", "false"):
            response = httpx2.post(double.anthropic_base_url + path, content=body % stream, headers=HEADERS)
            assert (response.status_code, "a?" in response.text) == (200, True)
    assert double.protocol_faults == ()


def test_a_later_system_message_stays_where_it_stands(double: ModelDouble) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}
    request = send(double, "/v1/chat/completions", body).request
    assert (request.system, [message.role for message in request.messages]) == ("", ["user", "system"])


def test_keys_are_never_kept(double: ModelDouble) -> None:
    exchange = send(double, "/v1/messages", ANTHROPIC)
    assert exchange.request.headers["authorization"] == exchange.request.headers["x-api-key"] == "(redacted)"
    assert exchange.request.headers["x-run"] == "7"
    assert KEY not in to_json((exchange,)) + render([exchange])


def test_exchanges_survive_the_way_to_a_file_and_back(double: ModelDouble) -> None:
    mark = double.journal.mark()
    send(double, "/v1/messages", ANTHROPIC)
    send(double, "/v1/chat/completions", {**OPENAI, "tool_choice": "auto"})
    send(double, "/v1/embeddings", {"model": "meridian-embed-1", "input": ["a\u2028b", "c"], "dimensions": 64})
    exchanges = double.journal.since(mark)
    written = to_json(exchanges)
    assert written.isascii()
    assert from_json(written) == exchanges


def test_a_mark_divides_by_arrival() -> None:
    journal = Journal()
    requests = [Request(number, "anthropic", "/v1/messages") for number in (1, 2, 3)]
    journal.arrived(requests[0])
    mark = journal.mark()
    for request in requests[1:]:
        journal.arrived(request)
    for request in reversed(requests):
        journal.ended(Exchange(request, 200, "Reply"))
    assert [exchange.request.number for exchange in journal.since(mark)] == [2, 3]
    assert journal.requests(mark) == tuple(requests[1:])
    assert journal.requests(0, "openai-chat") == ()


def test_a_reply_that_was_read_is_in_the_journal(double: ModelDouble) -> None:
    """Whoever has read the last byte finds the exchange: written down before it is sent."""
    with httpx2.Client(base_url=double.anthropic_base_url, headers=HEADERS) as client:
        for number in range(30):
            body = {**ANTHROPIC, "stream": number % 2 == 0}
            mark = double.journal.mark()
            client.post("/v1/messages", json=body)
            assert len(double.journal.since(mark)) == 1


def test_the_journal_takes_many_threads() -> None:
    journal = Journal()
    stop = threading.Event()
    sizes: list[int] = []

    def watch() -> None:
        while not stop.is_set():
            sizes.append(len(journal.since()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(1, 500):
        request = Request(number, "anthropic", "/v1/messages")
        journal.arrived(request)
        journal.ended(Exchange(request, 200, "Reply"))
    stop.set()
    watcher.join()
    assert sizes == sorted(sizes)
    assert journal.mark() == 499


def test_the_view_shows_who_said_what(double: ModelDouble) -> None:
    shown = render([send(double, "/v1/messages", {**ANTHROPIC, "stream": True})], width=120)
    for words in (
        "#1 anthropic stream  /v1/messages  claude  200",
        "28 tokens in, 4 out · $0.000096 at the default price · first byte ",
        "1 request · 28 tokens in, 4 out · $0.000096",
        "system: Be short. Cite.",
        "user: What is it?",
        'assistant: calls find({"q":1}) [t1]',
        "user: result of [t1]: found",
        "tools: find (must call find)",
        "model: fine",
        'model: calls find({"q":2}) [t9]',
    ):
        assert words in shown
    assert "\x1b" not in shown
    assert "\x1b[" in render([double.journal.since()[-1]], width=120, colour=True)


def test_the_view_shows_faults_and_inputs(double: ModelDouble) -> None:
    double.script(Fail(529), Cut(Reply("long " * 50), 2))
    for body in (ANTHROPIC, {**ANTHROPIC, "stream": True}):
        with pytest.raises((httpx2.HTTPStatusError, httpx2.RemoteProtocolError)):
            send(double, "/v1/messages", body)
    texts = [f"text {number}" for number in range(9)]
    send(double, "/v1/embeddings", {"model": "meridian-embed-1", "input": texts, "dimensions": 64})
    shown = render(double.journal.since()[-3:], width=120)
    for words in ("Fail 529: failed with 529", "cut after 2 events", "embeds 9 texts, 64 dimensions", "and 4 more"):
        assert words in shown


def test_the_view_trims_long_texts_in_the_middle() -> None:
    text = "head" + "x" * 5000 + "tail"
    request = Request(1, "anthropic", "/v1/messages", messages=(Message("user", (Block("text", text=text),)),))
    shown = render([Exchange(request, 200, "Reply", closed_early=True)], width=80)
    assert "head" in shown
    assert "tail" in shown
    assert "more characters" in shown
    assert len(shown) < 1500
    assert "closed the connection" in shown


def test_nothing_a_program_sends_reaches_the_terminal_raw() -> None:
    hostile = "\x1b]0;title\x07\x1b[2J[bold red]:smile:\r\x9b31m\u202eevil\u2028\ud800"
    request = Request(
        1, "anthropic", hostile, model=hostile, system=hostile, messages=(Message(hostile, (Block("text", hostile),)),)
    )
    for colour in (False, True):
        exchange = Exchange(request, 200, hostile, reply_text=hostile, error=hostile)
        plain = render([exchange], width=2000, colour=colour)
        for raw in ("\x07", "\r", "\x9b", "\u202e", "\u2028", "\ud800", "\x1b]", "\x1b[2J"):
            assert raw not in plain
        assert "[bold red]:smile:" in plain
    assert inert("a\tb\n\x00") == "a\tb\n\\x00"
