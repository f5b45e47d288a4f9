"""OpenAI Chat Completions: one tool message per call, right behind the assistant's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openai

from assistant.arguments import schemas
from assistant.replies import Call, Ending, Reply, Run, Step
from assistant.wires.wire import MODEL, OUTPUT_TOKENS, SYSTEM, IncompleteReplyError, OnText, Wire

ENDINGS: dict[str, Ending] = {"stop": "end", "tool_calls": "tools", "content_filter": "refused"}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}
    for name, text, schema in schemas()
]


class OpenAIWire(Wire):
    name = "openai"

    def __init__(self) -> None:
        self._client = openai.AsyncOpenAI(max_retries=0)

    def _broken(self, error: Exception) -> bool:
        # An error event in a stream comes without a status.
        return isinstance(error, openai.APIError) and not isinstance(error, openai.APIStatusError)

    async def _attempt(self, conversation: Sequence[Run], on_text: OnText) -> Reply:
        stream = await self._client.chat.completions.create(
            model=MODEL,
            max_completion_tokens=OUTPUT_TOKENS,
            messages=messages(conversation),
            tools=TOOLS,
            stream=True,
            stream_options={"include_usage": True},
        )
        draft = _Draft()
        async with stream:
            async for chunk in stream:
                draft.take(chunk, on_text)
        return draft.reply()


class _Draft:
    """A reply while it streams in; it is whole when a finish reason and the usage have come."""

    def __init__(self) -> None:
        self._text = ""
        self._refusal = ""
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: str | None = None
        self._tokens: int | None = None

    def take(self, chunk: Any, on_text: OnText) -> None:
        if chunk.usage:
            self._tokens = chunk.usage.prompt_tokens + chunk.usage.completion_tokens
        for choice in chunk.choices:
            delta = choice.delta
            if delta.content:
                self._text += delta.content
                on_text(delta.content)
            self._refusal += delta.refusal or ""
            for part in delta.tool_calls or ():
                call = self._calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
                call["id"] += part.id or ""
                if part.function:
                    call["name"] += part.function.name or ""
                    call["arguments"] += part.function.arguments or ""
            self._finish = choice.finish_reason or self._finish

    def reply(self) -> Reply:
        if self._finish is None or self._tokens is None:
            raise IncompleteReplyError("the stream ended before the reply did")
        calls = tuple(Call(call["id"], call["name"], call["arguments"] or "{}") for call in self._calls.values())
        ending = "refused" if self._refusal else ENDINGS.get(self._finish, "truncated")
        return Reply(self._text or self._refusal, calls, ending, self._tokens, None)


def messages(conversation: Sequence[Run]) -> list[dict[str, Any]]:
    """The whole conversation, system prompt first."""
    said: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
    for run in conversation:
        said.append({"role": "user", "content": run.message})
        for step in run.steps:
            said += _turn(step)
    return said


def _turn(step: Step) -> list[dict[str, Any]]:
    reply = step.reply
    if not reply.text and not reply.calls:
        return []
    spoken: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else reply.text}
    if reply.calls:
        spoken["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": result.text}
        for call, result in zip(reply.calls, step.results, strict=True)
        if result is not None
    ]
    return [spoken, *results]
