"""What a double must be by itself, and what others have and ours has not, or not in this way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai

from benchmarks.model.cases import (
    ANTHROPIC_KEY,
    KEY,
    LONG,
    case,
    plain,
    raises,
)
from benchmarks.model.doubles import CannotScript, Double, Llmock, Ours
from benchmarks.model.sides import Chat
from grader.model import Fail, Reply


@case("double: twenty conversations at once each get their own replies")
def _(double: Double) -> None:
    if not isinstance(double, Ours):
        _played_by_text(double)
    else:
        for n in range(20):
            double.double.conversation(f"ticket {n};").script(Reply(f"first {n}"), Reply(f"second {n}"))
    client = Chat(double).client

    def talk(n: int) -> list[str | None]:
        messages: list[Any] = [{"role": "user", "content": f"This is ticket {n}; please."}]
        said = []
        for _ in range(2):
            reply = client.chat.completions.create(model="m", messages=messages).choices[0].message
            said.append(reply.content)
            messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": "And?"}]
        return said

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(talk, range(20))) == [[f"first {n}", f"second {n}"] for n in range(20)]


def _played_by_text(double: Double) -> None:
    """The other doubles' own way: by what was said first, where they match on text at all."""
    if isinstance(double, Llmock):
        raise CannotScript("replies are matched by model and path, not by what was said")
    post: Any = double
    fixtures = [
        {"match": {"userMessage": f"ticket {n};", "turnIndex": 0}, "response": {"content": f"first {n}"}}
        for n in range(20)
    ]
    post._post("/__aimock/fixtures", {"fixtures": fixtures})  # noqa: SLF001  the battery speaks to the double as its client does
    raise CannotScript("the second turn is matched by its last message alone, which is the same in all")


@case("double: the program under test can neither script nor read it")
def _(double: Double) -> None:
    root = double.openai_url.removesuffix("/v1")
    for path in ("/_llmock/requests", "/_llmock/scenario", "/__aimock/journal", "/__aimock/fixtures"):
        assert httpx2.get(root + path, headers=KEY).status_code == 404, f"{path} is open"


@case("double: a giant body is refused and the next request is served")
def _(double: Double) -> None:
    double.play(Reply("Hello."), Reply("Hello."))
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 40_000_000}]}
    refused = httpx2.post(f"{double.openai_url}/chat/completions", json=body, headers=KEY, timeout=20)
    assert refused.status_code == 413
    assert Chat(double).ask().text == "Hello."


@case("double: deeply nested JSON is refused and the next request is served")
def _(double: Double) -> None:
    double.play(Reply("Hello."))
    content = b'{"model":"m","messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    headers = {**KEY, "content-type": "application/json"}
    assert httpx2.post(f"{double.openai_url}/chat/completions", content=content, headers=headers).status_code == 400
    assert Chat(double).ask().text == "Hello."


@case("double: an unknown path is told in the vendor's shape")
def _(double: Double) -> None:
    missing = httpx2.post(f"{double.anthropic_url}/v1/complete", json={}, headers=ANTHROPIC_KEY)
    assert missing.status_code == 404
    assert missing.json()["type"] == "error"


@case("faults: a stream that ends early without a word")
def _(double: Double) -> None:
    if isinstance(double, Llmock):
        double._post(  # noqa: SLF001  the battery speaks to the double as its client does
            "/_llmock/scenario", {"behaviors": [{"type": "stream_fault", "kind": "truncate", "after_chunks": 2}]}
        )
    elif isinstance(double, Ours):
        raise CannotScript("Cut drops the connection")
    double.play(Reply(LONG))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    reply = httpx2.post(f"{double.openai_url}/chat/completions", json=body, headers=KEY)
    assert b"[DONE]" not in reply.content


@case("faults: a stream that stalls in the middle")
def _(double: Double) -> None:
    if isinstance(double, Llmock):
        stall = {"type": "stream_fault", "kind": "stall", "after_chunks": 2, "stall_seconds": 3}
        double._post("/_llmock/scenario", {"behaviors": [stall]})  # noqa: SLF001  the battery speaks to the double as its client does
        double.play(Reply(LONG))
    else:
        raise CannotScript("the whole reply can be late, not its middle")
    with raises(openai.APITimeoutError, httpx2.ReadTimeout):
        Chat(double, seconds=0.5).stream()


@case("faults: one corrupt event in a stream")
def _(double: Double) -> None:
    if not isinstance(double, Llmock):
        raise CannotScript("no words for a corrupt event")
    double._post(  # noqa: SLF001  the battery speaks to the double as its client does
        "/_llmock/scenario", {"behaviors": [{"type": "stream_fault", "kind": "malformed", "after_chunks": 2}]}
    )
    double.play(Reply(LONG))
    with raises(json.JSONDecodeError):
        Chat(double).stream()


@case("verdict: a client that ignores Retry-After is found out by the double")
def _(double: Double) -> None:
    if not isinstance(double, Llmock):
        raise CannotScript("whoever scripts it has to look at the journal")
    double.play(Fail(429, retry_after_ms=2000), Reply("Hello."))
    headers, url, body = plain(double, Chat)
    for _ in range(2):
        httpx2.post(url, json=body, headers=headers)
    assert "retry_after_ignored" in double.http.get("/_llmock/verdict").text


@case("other vendors: Gemini")
def _(double: Double) -> None:
    double.play(Reply("Hello."))
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello?"}]}]}
    root = double.openai_url.removesuffix("/v1") + ("/gemini" if isinstance(double, Llmock) else "")
    reply = httpx2.post(f"{root}/v1beta/models/gemini-3-pro:generateContent", json=body, headers=KEY)
    assert reply.json()["candidates"][0]["content"]["parts"][0]["text"] == "Hello."


@case("other vendors: Ollama's own chat")
def _(double: Double) -> None:
    double.play(Reply("Hello."))
    root = double.openai_url.removesuffix("/v1")
    body = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "Hello?"}]}
    assert httpx2.post(f"{root}/api/chat", json=body, headers=KEY).json()["message"]["content"] == "Hello."


@case("other endpoints: images")
def _(double: Double) -> None:
    reply = Chat(double).client.images.generate(model="gpt-image-1", prompt="a depot")
    assert reply.data


@case("other endpoints: OpenAI's files")
def _(double: Double) -> None:
    made = Chat(double).client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    assert made.id
