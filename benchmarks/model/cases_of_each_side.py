"""What must go well on each of the three endpoints."""

from __future__ import annotations

import asyncio
import json

import httpx2

from benchmarks.model.cases import (
    CITY,
    LONG,
    on_each_side,
    plain,
    raises,
)
from benchmarks.model.doubles import Double
from benchmarks.model.sides import Anthropic, Place, Side
from grader.model import Cut, Disconnect, Fail, Garbage, Refuse, Reply, Slow, ToolCall, Turn

_ANTHROPIC_HEADERS = ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-tokens-remaining")
_OPENAI_HEADERS = ("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens")


@on_each_side("text")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    said = side(double).ask()
    assert (said.text, said.stop) == ("Hello.", "end")


@on_each_side("text, async")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    assert asyncio.run(side(double).ask_async()).text == "Hello."


@on_each_side("text, streamed")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply(LONG))
    assert side(double).stream().text == LONG


@on_each_side("text, streamed, async")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply(LONG))
    assert asyncio.run(side(double).stream_async()).text == LONG


@on_each_side("every field as the SDK's types have it")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    assert side(double, strict=True).ask().text == "Hello."


@on_each_side("every stream event as the SDK's types have it")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply(LONG))
    assert side(double, strict=True).stream().text == LONG


@on_each_side("usage, plain and streamed, counts input and output")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply(LONG), Reply(LONG))
    for said in (side(double).ask(), side(double).stream()):
        assert said.input_tokens > 0
        assert said.output_tokens > 10


@on_each_side("a tool call")
def _(double: Double, side: type[Side]) -> None:
    double.play(ToolCall("weather", CITY))
    said = side(double, strict=True).ask(tools=True, force="weather")
    assert (said.calls, said.stop) == ((("weather", CITY),), "tool_use")


@on_each_side("a tool call, streamed")
def _(double: Double, side: type[Side]) -> None:
    double.play(ToolCall("weather", {"city": LONG}))
    assert side(double, strict=True).stream(tools=True).calls == (("weather", {"city": LONG}),)


@on_each_side("parallel tool calls")
def _(double: Double, side: type[Side]) -> None:
    double.play(Turn(ToolCall("weather", CITY), ToolCall("tickets", CITY)))
    assert [name for name, _ in side(double).ask(tools=True).calls] == ["weather", "tickets"]


@on_each_side("parallel tool calls, streamed")
def _(double: Double, side: type[Side]) -> None:
    double.play(Turn(ToolCall("weather", CITY), ToolCall("tickets", CITY)))
    assert [name for name, _ in side(double).stream(tools=True).calls] == ["weather", "tickets"]


@on_each_side("text and a tool call in one reply")
def _(double: Double, side: type[Side]) -> None:
    double.play(Turn(Reply("Looking."), ToolCall("weather", CITY)))
    said = side(double).ask(tools=True)
    assert (said.text, len(said.calls)) == ("Looking.", 1)


@on_each_side("a tool's result is answered")
def _(double: Double, side: type[Side]) -> None:
    double.play(ToolCall("weather", CITY), Reply("It rains."))
    first, second = side(double).two_rounds()
    assert (len(first.calls), second.text) == (1, "It rains.")


@on_each_side("structured output")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply(json.dumps(CITY)))
    assert side(double).parse() == Place(city="Arden")


@on_each_side("a reply cut off at max_tokens")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Half a", stop="max_tokens"))
    assert side(double).ask().stop == "max_tokens"


@on_each_side("a refusal, as the vendor says it")
def _(double: Double, side: type[Side]) -> None:
    double.play(Refuse("No."))
    assert side(double).ask().refused


@on_each_side("429 is retried by the SDK and then answered")
def _(double: Double, side: type[Side]) -> None:
    double.play(Fail(429), Reply("Hello."))
    assert side(double, retries=2).ask().text == "Hello."


@on_each_side("529 and 503 are told in the vendor's words")
def _(double: Double, side: type[Side]) -> None:
    for status in (529, 503):
        double.reset()
        double.play(Fail(status, message="Try later, says the script."))
        with raises(side.status_error) as caught:
            side(double).ask()
        assert caught[0].status_code == status
        assert "Try later, says the script." in str(caught[0])


@on_each_side("a stream that drops in the middle")
def _(double: Double, side: type[Side]) -> None:
    double.play(Cut(Reply(LONG), 4))
    with raises(side.connection_error, httpx2.TransportError):
        side(double).stream()


@on_each_side("a connection closed before any byte")
def _(double: Double, side: type[Side]) -> None:
    double.play(Disconnect())
    with raises(side.connection_error):
        side(double).ask()


@on_each_side("bytes that are no JSON")
def _(double: Double, side: type[Side]) -> None:
    double.play(Garbage(b'{"id": "x", "cont'))
    with raises(json.JSONDecodeError):
        side(double).ask()


@on_each_side("a reply that comes too late")
def _(double: Double, side: type[Side]) -> None:
    double.play(Slow(Reply("Late."), 3))
    with raises(side.timeout_error):
        side(double, seconds=0.5).ask()


@on_each_side("the result of a call that nobody made is refused")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("never"))
    with raises(side.status_error) as caught:
        side(double).orphan()
    assert caught[0].status_code == 400


@on_each_side("a tool whose schema is none is refused")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("never"))
    with raises(side.status_error) as caught:
        side(double).bad_schema()
    assert caught[0].status_code == 400


@on_each_side("a request id stands in the headers")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    raw, url, body = plain(double, side)
    headers = httpx2.post(url, json=body, headers=raw).headers
    assert ("request-id" if side is Anthropic else "x-request-id") in headers


@on_each_side("rate limits stand in the headers")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    raw, url, body = plain(double, side)
    headers = httpx2.post(url, json=body, headers=raw).headers
    names = _ANTHROPIC_HEADERS if side is Anthropic else _OPENAI_HEADERS
    missing = [name for name in names if name not in headers]
    assert not missing, f"missing: {', '.join(missing)}"


@on_each_side("a request without a key is refused")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("never"))
    headers, url, body = plain(double, side)
    headers.pop("authorization")
    status = httpx2.post(url, json=body, headers=headers).status_code
    assert status == 401, f"answered {status}"


@on_each_side("what was sent can be read word for word")
def _(double: Double, side: type[Side]) -> None:
    double.play(Reply("Hello."))
    side(double).ask(tools=True)
    (body,) = double.bodies()
    assert "Hello?" in json.dumps(body)
    assert [name for name in ("weather", "tickets") if name not in json.dumps(body["tools"])] == []
