"""Faults as the official SDKs and a plain HTTP client meet them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2
import openai
import pytest

from grader.model.journal import Exchange, Request
from grader.model.script import Cut, Disconnect, Fail, Garbage, Hold, Reply, Slow, Step, ToolCall
from grader.model.server import ModelDouble

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
LONG = Reply("a text that is long enough to be streamed in several pieces, and then some more")
PATIENCE = 20


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble() as double:
        yield double


@pytest.fixture
def double(running: ModelDouble, caplog: pytest.LogCaptureFixture) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=running.anthropic_base_url, api_key="k") as client:
        yield client


@pytest.fixture(scope="module")
def gpt(running: ModelDouble) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=running.openai_base_url, api_key="k") as client:
        yield client


def last(double: ModelDouble) -> Exchange:
    return double.journal.since()[-1]


def test_anthropic_retries_an_overload_at_once(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Fail(529), Fail(429), Reply("recovered"))
    mark = double.journal.mark()
    message = claude.messages.create(model="any", max_tokens=9, messages=HELLO)
    assert message.content[0].type == "text"
    retries = [request.headers["x-stainless-retry-count"] for request in double.journal.requests(mark)]
    assert retries == ["0", "1", "2"]
    assert [exchange.status for exchange in double.journal.since(mark)] == [529, 429, 200]


def test_openai_retries_an_overload_at_once(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Fail(503), Fail(429), Reply("recovered"))
    mark = double.journal.mark()
    completion = gpt.chat.completions.create(model="any", messages=HELLO)
    assert completion.choices[0].message.content == "recovered"
    assert [exchange.status for exchange in double.journal.since(mark)] == [503, 429, 200]


def test_a_fail_tells_when_to_retry_unless_told_not_to(double: ModelDouble) -> None:
    double.script(Fail(529), Fail(529, retry_after_ms=None, headers={"retry-after": "7"}))
    first, second = plain(double), plain(double)
    assert first.headers["retry-after-ms"] == "10"
    assert "retry-after-ms" not in second.headers
    assert second.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (413, anthropic.ContentTooLargeError, "request_too_large"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (503, anthropic.ServiceUnavailableError, "api_error"),
        (504, anthropic.GatewayTimeoutError, "timeout_error"),
        (529, anthropic.OverloadedError, "overloaded_error"),
    ],
)
def test_anthropic_names_each_failure(
    double: ModelDouble, claude: anthropic.Anthropic, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    double.script(Fail(status))
    with pytest.raises(error) as caught:
        claude.with_options(max_retries=0).messages.create(model="any", max_tokens=9, messages=HELLO)
    assert caught.value.type == kind
    assert caught.value.request_id is not None
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.request_id
    if status == 429:
        assert caught.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, openai.BadRequestError, None),
        (401, openai.AuthenticationError, "invalid_api_key"),
        (404, openai.NotFoundError, None),
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (500, openai.InternalServerError, None),
        (529, openai.InternalServerError, None),
    ],
)
def test_openai_names_each_failure(
    double: ModelDouble, gpt: openai.OpenAI, status: int, error: type[openai.APIStatusError], code: str | None
) -> None:
    double.script(Fail(status, message="as told", kind="told_kind"))
    with pytest.raises(error, match="as told") as caught:
        gpt.with_options(max_retries=0).chat.completions.create(model="any", messages=HELLO)
    assert (caught.value.code, caught.value.type) == (code, "told_kind")
    assert caught.value.request_id is not None
    assert "x-ratelimit-remaining-requests" in caught.value.response.headers


def test_a_cut_stream_breaks_off(double: ModelDouble, claude: anthropic.Anthropic, gpt: openai.OpenAI) -> None:
    double.script(Cut(LONG, 4), Cut(LONG, 2))
    seen: list[Any] = []
    with pytest.raises(httpx2.RemoteProtocolError):
        drain(claude.messages.create(model="any", max_tokens=9, messages=HELLO, stream=True), seen)
    # The third event is a ping, which the SDK swallows.
    assert [event.type for event in seen] == ["message_start", "content_block_start", "content_block_delta"]
    with pytest.raises(openai.APIConnectionError):
        list(gpt.chat.completions.create(model="any", messages=HELLO, stream=True))
    assert last(double).error == "cut after 2 events"
    assert not last(double).closed_early


def test_a_cut_body_is_half_a_body(double: ModelDouble) -> None:
    double.script(Cut(LONG))
    with pytest.raises(http.client.IncompleteRead) as caught:
        plain(double)
    assert caught.value.expected
    assert abs(len(caught.value.partial) - caught.value.expected) <= 1
    assert last(double).error == "cut in half"


@pytest.mark.parametrize("stream", [False, True])
def test_a_disconnect_leaves_no_byte(double: ModelDouble, stream: bool) -> None:
    double.script(Disconnect())
    with pytest.raises(http.client.RemoteDisconnected):
        plain(double, stream=stream)
    assert last(double).error == "disconnected before the reply"
    assert last(double).status == 0


def test_an_sdk_retries_a_disconnect(double: ModelDouble, gpt: openai.OpenAI) -> None:
    double.script(Disconnect(), Reply("back"))
    assert gpt.with_options(max_retries=1).chat.completions.create(model="any", messages=HELLO).choices


def test_garbage_arrives_as_it_is(double: ModelDouble, claude: anthropic.Anthropic) -> None:
    double.script(Garbage(b'{"id": "msg_'), Garbage(b"<html>", content_type="text/html", status=502))
    with pytest.raises(json.JSONDecodeError):
        claude.messages.create(model="any", max_tokens=9, messages=HELLO)
    answer = plain(double)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (502, b"<html>", "text/html")


def test_a_slow_reply_meets_the_clients_timeout(double: ModelDouble, gpt: openai.OpenAI) -> None:
    closed = threading.Event()
    double.script(Slow(Reply("late"), PATIENCE))
    watch(double, closed)
    with pytest.raises(openai.APITimeoutError):
        gpt.with_options(max_retries=0, timeout=0.05).chat.completions.create(model="any", messages=HELLO)
    assert closed.wait(PATIENCE)
    assert last(double).closed_early
    assert last(double).seconds < PATIENCE


def test_a_client_that_hangs_up_on_a_held_reply_is_noticed(double: ModelDouble) -> None:
    closed, arrived = threading.Event(), threading.Event()
    double.script(Hold(Reply("never"), threading.Event()), when=telling(arrived))
    watch(double, closed)
    connection = http.client.HTTPConnection(address(double), timeout=PATIENCE)
    connection.request("POST", "/v1/chat/completions", body=chat_body(), headers={"authorization": "Bearer k"})
    assert arrived.wait(PATIENCE)
    connection.close()
    assert closed.wait(PATIENCE)
    assert (last(double).closed_early, last(double).error) == (True, "the program hung up")


def test_a_client_that_hangs_up_in_a_stream_is_noticed(double: ModelDouble) -> None:
    closed = threading.Event()
    double.script(Reply("x" * 20_000_000))
    watch(double, closed)
    body = chat_body(stream=True)
    with socket.create_connection(urlsplit(double.anthropic_base_url).netloc.split(":"), timeout=PATIENCE) as raw:  # type: ignore[arg-type]  # a host and a port in digits will do
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
        head += f"content-length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        assert raw.recv(100).startswith(b"HTTP/1.1 200")
    assert closed.wait(PATIENCE)
    assert last(double).closed_early


@pytest.mark.parametrize("step", [Slow(Reply("x"), 60), Hold(Reply("x"), threading.Event())])
def test_stopping_the_double_does_not_wait_for_late_replies(step: Step) -> None:
    arrived = threading.Event()
    with ModelDouble() as double:
        double.script(step, when=telling(arrived))
        connection = http.client.HTTPConnection(address(double), timeout=PATIENCE)
        connection.request("POST", "/v1/chat/completions", body=chat_body(), headers={"authorization": "Bearer k"})
        assert arrived.wait(PATIENCE)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()
    assert not last(double).closed_early


def drain(events: Iterable[Any], into: list[Any]) -> None:
    for event in events:
        into.append(event)  # noqa: PERF402  what arrived before the error is what the test wants


def test_a_client_that_hangs_up_in_its_request_leaves_no_trace(double: ModelDouble) -> None:
    mark = double.journal.mark()
    connection = http.client.HTTPConnection(address(double), timeout=PATIENCE)
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("content-length", "500")
    connection.endheaders(b"{")
    connection.close()
    double.script(Reply("next"))
    assert plain(double).status == 200
    assert double.journal.mark() == mark + 1


class Plain:
    """One answer as a plain HTTP client reads it."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def address(double: ModelDouble) -> str:
    return urlsplit(double.anthropic_base_url).netloc


def chat_body(*, stream: bool = False) -> bytes:
    return json.dumps({"model": "any", "messages": HELLO, "stream": stream}).encode()


def plain(double: ModelDouble, *, stream: bool = False) -> Plain:
    connection = http.client.HTTPConnection(address(double), timeout=PATIENCE)
    try:
        connection.request(
            "POST", "/v1/chat/completions", body=chat_body(stream=stream), headers={"authorization": "Bearer k"}
        )
        return Plain(connection.getresponse())
    finally:
        connection.close()


def telling(arrived: threading.Event) -> Callable[[Request], bool]:
    """A `when` that matches and tells so."""

    def when(_: Request) -> bool:
        arrived.set()
        return True

    return when


def watch(double: ModelDouble, closed: threading.Event) -> None:
    """Sets the event when the journal gets an exchange that the client closed early."""
    ended = double.journal.ended

    def note(exchange: Exchange) -> None:
        ended(exchange)
        if exchange.closed_early:
            closed.set()

    double.journal.ended = note  # type: ignore[method-assign]  # the test looks over the server's shoulder


@pytest.mark.parametrize(
    ("path", "body", "delta"),
    [
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HELLO}, "text_delta"),
        ("/v1/chat/completions", {"model": "m", "messages": HELLO}, '"content"'),
        ("/v1/responses", {"model": "m", "input": "hello"}, "output_text.delta"),
    ],
)
def test_a_reply_that_is_held_in_its_middle_shows_its_beginning(
    double: ModelDouble, path: str, body: dict[str, Any], delta: str
) -> None:
    gate = threading.Event()
    double.script(Hold(LONG, gate, after_events=6))
    headers = {"authorization": "Bearer k", "x-api-key": "k", "anthropic-version": "2023-06-01"}
    url = double.anthropic_base_url + path
    mark = double.journal.mark()
    with httpx2.stream("POST", url, json={**body, "stream": True}, headers=headers, timeout=PATIENCE) as reply:
        lines = reply.iter_lines()
        assert any(delta in line for line in lines)  # while the rest is held
        assert double.journal.since(mark) == ()
        gate.set()
        list(lines)
    assert last(double).reply_text == LONG.text


def test_a_plain_reply_that_is_held_in_its_middle_is_late_as_a_whole(
    double: ModelDouble, claude: anthropic.Anthropic
) -> None:
    gate = threading.Event()
    double.script(Hold(Reply("late"), gate, after_events=3))
    threading.Timer(0.05, gate.set).start()
    assert "late" in str(claude.messages.create(model="any", max_tokens=9, messages=HELLO).content)
    assert gate.is_set()


def test_a_cut_behind_a_hold_still_cuts(double: ModelDouble, gpt: openai.OpenAI) -> None:
    gate = threading.Event()
    gate.set()
    double.script(Cut(Hold(LONG, gate, after_events=2), 4))
    with pytest.raises(openai.APIConnectionError):
        list(gpt.chat.completions.create(model="any", messages=HELLO, stream=True))
    assert last(double).error == "cut after 4 events"


@pytest.mark.parametrize("stream", [False, True])
def test_arguments_that_are_no_json_reach_the_program_as_written(
    double: ModelDouble, gpt: openai.OpenAI, *, stream: bool
) -> None:
    call = ToolCall("find", {}, id="call_1", written='{"status": "boo')
    tool: Any = {"type": "function", "name": "find", "parameters": {"type": "object"}}
    chat: Any = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    double.script(call, call)
    calls: Any
    if stream:
        said = gpt.responses.create(model="any", input="hello", tools=[tool], stream=True)
        seen = [event.arguments for event in said if event.type == "response.function_call_arguments.done"]
        chunks = gpt.chat.completions.create(model="any", messages=HELLO, tools=[chat], stream=True)
        calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
        seen.append("".join(call.function.arguments for call in calls))
    else:
        output: Any = gpt.responses.create(model="any", input="hello", tools=[tool]).output
        calls = gpt.chat.completions.create(model="any", messages=HELLO, tools=[chat]).choices[0].message.tool_calls
        seen = [output[0].arguments, calls[0].function.arguments]
    assert seen == [call.written] * 2
    assert last(double).tool_calls == (call,)
