"""What only one vendor has."""

from __future__ import annotations

import time
from typing import Any

import anthropic
import httpx2
import openai

from benchmarks.model.cases import (
    ANTHROPIC_KEY,
    CITY,
    LONG,
    case,
    raises,
)
from benchmarks.model.doubles import CannotScript, Double, Ours
from benchmarks.model.sides import Anthropic, Chat, Responses
from grader.model import Cut, Fail, Reply, ToolCall, Turn
from grader.model.script import Thinking


@case("anthropic: count_tokens")
def _(double: Double) -> None:
    counted = Anthropic(double).client.messages.count_tokens(
        model="m", messages=[{"role": "user", "content": "four words are here"}]
    )
    assert counted.input_tokens > 0


@case("anthropic: the list of models")
def _(double: Double) -> None:
    assert any(model.id.startswith("claude") for model in Anthropic(double, strict=True).client.models.list())


@case("anthropic: thinking, with a signature")
def _(double: Double) -> None:
    double.play(Turn(Thinking("Let me see."), Reply("Hello.")))
    asked: Any = {"model": "claude-opus-5-5", "max_tokens": 4096, "messages": list(Anthropic.question)}
    message = Anthropic(double, strict=True).client.messages.create(
        **asked, thinking={"type": "adaptive", "display": "summarized"}
    )
    (block,) = [block for block in message.content if block.type == "thinking"]
    assert block.thinking == "Let me see."
    assert block.signature


@case("anthropic: a changed signature is refused")
def _(double: Double) -> None:
    double.play(Turn(Thinking("Let me see."), ToolCall("weather", CITY)), Reply("never"))
    client = Anthropic(double).client
    request = Anthropic(double)._request(tools=True, max_tokens=4096) | {"thinking": {"type": "adaptive"}}  # noqa: SLF001  the battery speaks to the double as its client does
    first = client.messages.create(**request)
    content = [block.model_dump(exclude_none=True) for block in first.content]
    for block in content:
        if block["type"] == "thinking":
            block["signature"] = "c2lnbmF0dXJl"
    call = next(block for block in content if block["type"] == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "wet"}
    request["messages"] += [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    with raises(anthropic.BadRequestError):
        client.messages.create(**request)


@case("anthropic: the prompt cache is written once and read then")
def _(double: Double) -> None:
    double.play(Reply("one"), Reply("two"))
    system: Any = [{"type": "text", "text": "Depots open at six. " * 2000, "cache_control": {"type": "ephemeral"}}]
    asked: Any = {"model": "claude-opus-5-5", "max_tokens": 9, "system": system, "messages": list(Anthropic.question)}
    first, second = (Anthropic(double).client.messages.create(**asked).usage for _ in range(2))
    assert first.cache_creation_input_tokens
    assert first.cache_creation_input_tokens > 1000
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens


@case("anthropic: a changed prefix misses the prompt cache")
def _(double: Double) -> None:
    double.play(Reply("one"), Reply("two"))
    usages = []
    for day in ("Monday", "Tuesday"):
        text = f"Today is {day}. " + "Depots open at six. " * 2000
        system: Any = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
        asked: Any = {"model": "claude-opus-5-5", "max_tokens": 9, "system": system}
        usages.append(Anthropic(double).client.messages.create(**asked, messages=list(Anthropic.question)).usage)
    assert usages[0].cache_creation_input_tokens
    assert usages[1].cache_read_input_tokens == 0
    assert usages[1].cache_creation_input_tokens


@case("anthropic: more than four cache marks are refused")
def _(double: Double) -> None:
    double.play(Reply("never"))
    blocks: Any = [{"type": "text", "text": f"part {n}", "cache_control": {"type": "ephemeral"}} for n in range(5)]
    with raises(anthropic.BadRequestError):
        Anthropic(double).client.messages.create(
            model="claude-opus-5-5", max_tokens=9, system=blocks, messages=list(Anthropic.question)
        )


@case("anthropic: the SDK's tool runner, with message threads")
def _(double: Double) -> None:
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: where.
        """
        return f"wet in {city}"

    double.play(ToolCall("weather", CITY), Reply("It rains."))
    runner = Anthropic(double).client.beta.messages.tool_runner(
        model="claude-opus-5-5", max_tokens=99, tools=[weather], messages=[{"role": "user", "content": "Weather?"}]
    )
    final = runner.until_done()
    assert [block.text for block in final.content if block.type == "text"] == ["It rains."]


@case("anthropic: message batches, from creation to results")
def _(double: Double) -> None:
    double.play(Reply("one"), Reply("two"))
    client = Anthropic(double).client
    params: Any = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": list(Anthropic.question)}
    if isinstance(double, Ours):
        double.double.batches.finish_after(1)
    batch = client.messages.batches.create(requests=[{"custom_id": name, "params": params} for name in ("a", "b")])
    until = time.monotonic() + 5
    while client.messages.batches.retrieve(batch.id).processing_status != "ended" and time.monotonic() < until:
        time.sleep(0.05)  # a batch announces its end to nobody
    results: Any = {result.custom_id: result.result for result in client.messages.batches.results(batch.id)}
    assert sorted(block.text for result in results.values() for block in result.message.content) == ["one", "two"]


@case("anthropic: max_tokens is required")
def _(double: Double) -> None:
    double.play(Reply("never"))
    body = {"model": "m", "messages": list(Anthropic.question)}
    assert httpx2.post(f"{double.anthropic_url}/v1/messages", json=body, headers=ANTHROPIC_KEY).status_code == 400


@case("anthropic: an error event ends a stream after 200")
def _(double: Double) -> None:
    double.play(Cut(Reply(LONG), 4, error=Fail(529)))
    if not isinstance(double, Ours):
        raise CannotScript("no words for an error in the middle of a stream")
    with raises(anthropic.APIStatusError) as caught:
        Anthropic(double).stream()
    assert "overloaded" in str(caught[0]).lower()


@case("openai: embeddings as floats")
def _(double: Double) -> None:
    reply = Chat(double).client.embeddings.create(
        model=_embedding_model(double), input=["one", "two"], encoding_format="float"
    )
    assert len(reply.data) == 2
    assert len(reply.data[0].embedding) > 8


@case("openai: embeddings as base64, the SDK's default")
def _(double: Double) -> None:
    assert len(Chat(double).client.embeddings.create(model=_embedding_model(double), input="one").data[0].embedding) > 8


@case("openai: embeddings of like texts are alike")
def _(double: Double) -> None:
    texts = ["The depot opens at six in the morning.", "When does the terminal open?", "Bananas are yellow."]
    data = Chat(double).client.embeddings.create(model=_embedding_model(double), input=texts).data
    vectors = [item.embedding for item in data]

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / (_length(a) * _length(b))

    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2]) + 0.1


@case("openai: embeddings shortened by `dimensions`")
def _(double: Double) -> None:
    reply = Chat(double).client.embeddings.create(model=_embedding_model(double), input="one", dimensions=64)
    assert len(reply.data[0].embedding) == 64


def _length(vector: list[float]) -> float:
    return float(sum(x * x for x in vector) ** 0.5)


def _embedding_model(double: Double) -> str:
    return "meridian-embed-1" if isinstance(double, Ours) else "text-embedding-3-small"


@case("openai: the list of models")
def _(double: Double) -> None:
    assert any(model.id for model in Chat(double, strict=True).client.models.list())


@case("responses: goes on from previous_response_id")
def _(double: Double) -> None:
    double.play(Reply("one"), Reply("two"))
    client = Responses(double).client
    first = client.responses.create(model="gpt-6.1-sol", input="first")
    second = client.responses.create(model="gpt-6.1-sol", input="second", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id) == ("two", first.id)


@case("responses: an unknown previous_response_id is refused")
def _(double: Double) -> None:
    double.play(Reply("never"))
    with raises(openai.BadRequestError, openai.NotFoundError):
        Responses(double).client.responses.create(model="gpt-6.1-sol", input="x", previous_response_id="resp_nobody")


@case("responses: a kept response can be fetched and deleted")
def _(double: Double) -> None:
    double.play(Reply("one"))
    client = Responses(double).client
    made = client.responses.create(model="gpt-6.1-sol", input="first")
    assert client.responses.retrieve(made.id).output_text == "one"
    client.responses.delete(made.id)
    with raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


@case("responses: in the background, polled until it is done")
def _(double: Double) -> None:
    double.play(Reply("one"))
    client = Responses(double).client
    made = client.responses.create(model="gpt-6.1-sol", input="first", background=True)
    assert made.status in ("queued", "in_progress")
    until = time.monotonic() + 5
    while made.output_text != "one" and time.monotonic() < until:
        made = client.responses.retrieve(made.id)
    assert made.output_text == "one"


@case("openai: an unknown field is refused")
def _(double: Double) -> None:
    double.play(Reply("never"))
    with raises(openai.BadRequestError):
        Chat(double).client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], extra_body={"frobnicate": True}
        )
