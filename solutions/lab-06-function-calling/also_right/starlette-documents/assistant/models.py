"""The vendors by their SDKs: plain replies for plain clients, streams for streaming ones."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai

from assistant import toolbox
from assistant.store import Document

SYSTEM = (
    "You help Meridian's dispatchers. Look things up with the tools before you say them; follow what errors tell you."
)
OnText = Callable[[str], None] | None
Turn = dict[str, Any]


class ModelDown(Exception):
    """Three attempts have failed."""


class _Half(Exception):
    """A reply without its end."""


async def next_turn(document: Document, on_text: OnText) -> Turn:
    """Ask for the next turn of the conversation.

    Raises:
        ModelDown: it does not come.
    """
    ask = _ask_anthropic if os.environ.get("MODEL_WIRE") != "openai" else _ask_openai
    told: list[str] = []

    def hear(text: str) -> None:
        told.append(text)
        if on_text:
            on_text(text)

    for attempt in range(3):
        try:
            return await ask(document, hear if on_text else None)
        except (anthropic.APIError, openai.APIError, httpx2.HTTPError, _Half, ValueError, AttributeError) as error:
            status = getattr(error, "status_code", 500)
            hopeless = 400 <= status < 500 and status not in (408, 409, 429)
            if attempt == 2 or told or hopeless:
                raise ModelDown(str(error)) from error
            response = getattr(error, "response", None)
            advice = response.headers.get("retry-after-ms") if response is not None else None
            await asyncio.sleep(float(advice or 100) / 1000)
    raise AssertionError


def _runs(document: Document) -> list[tuple[str, list[Turn]]]:
    """Messages with the turns that can be shown again: those that were cut off or refused are left out."""
    return [
        (run["message"], [turn for turn in run["turns"] if turn["ending"] == "end" and (turn["text"] or turn["calls"])])
        for run in document["runs"]
    ]


async def _ask_anthropic(document: Document, on_text: OnText) -> Turn:
    messages: list[Any] = []
    for message, turns in _runs(document):
        messages.append({"role": "user", "content": message})
        for turn in turns:
            messages.append({"role": "assistant", "content": turn["said"]})
            if turn["calls"]:
                results = [
                    {
                        "type": "tool_result",
                        "tool_use_id": call["id"],
                        "content": [{"type": "text", "text": call["result"]}],
                    }
                    | ({"is_error": True} if toolbox.word_of(call["result"]) else {})
                    for call in reversed(turn["calls"])  # any order will do
                ]
                messages.append({"role": "user", "content": results})
    request: Any = {
        "model": "claude-sonnet-5",
        "max_tokens": 8000,
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "adaptive"},
        "tools": [
            {"name": name, "description": about, "input_schema": toolbox.schema(name)}
            for name, (about, _) in toolbox.TOOLS.items()
        ],
        "messages": messages,
    }
    async with anthropic.AsyncAnthropic(max_retries=0) as client:
        if on_text is None:
            reply = await client.messages.create(**request)
        else:
            async with client.messages.stream(**request) as stream:
                ended = False
                async for event in stream:
                    ended = ended or event.type == "message_stop"
                    if event.type == "text":
                        on_text(event.text)
                if not ended:
                    raise _Half
                reply = await stream.get_final_message()
    said = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in reply.content]
    usage = reply.usage
    return {
        "said": said,
        "text": "".join(block["text"] for block in said if block["type"] == "text"),
        "calls": [_call(b["id"], b["name"], json.dumps(b["input"])) for b in said if b["type"] == "tool_use"],
        "ending": {"end_turn": "end", "tool_use": "end", "refusal": "refused"}.get(str(reply.stop_reason), "truncated"),
        "tokens": usage.input_tokens
        + (usage.cache_read_input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0)
        + usage.output_tokens,
    }


async def _ask_openai(document: Document, on_text: OnText) -> Turn:
    messages: list[Any] = [{"role": "developer", "content": SYSTEM}]
    for message, turns in _runs(document):
        messages.append({"role": "user", "content": [{"type": "text", "text": message}]})
        for turn in turns:
            messages.append(turn["said"])
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": call["result"]} for call in turn["calls"]
            ]
    request: Any = {
        "model": "gpt-dispatch",
        "messages": messages,
        "tools": [
            {"type": "function", "function": {"name": name, "description": about, "parameters": toolbox.schema(name)}}
            for name, (about, _) in toolbox.TOOLS.items()
        ],
    }
    async with openai.AsyncOpenAI(max_retries=0) as client:
        if on_text is None:
            reply = await client.chat.completions.create(**request)
            choice = reply.choices[0]
            said = choice.message.model_dump(exclude_none=True, include={"role", "content", "tool_calls", "refusal"})
            finish, usage = choice.finish_reason, reply.usage
        else:
            said, finish, usage = await _read_chunks(client, request, on_text)
    if finish is None or usage is None:
        raise _Half
    ending = {"stop": "end", "tool_calls": "end"}.get(finish, "truncated")
    return {
        "said": said,
        "text": said.get("content") or "",
        "calls": [
            _call(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in said.get("tool_calls", ())
        ],
        "ending": "refused" if said.get("refusal") else ending,
        "tokens": usage.prompt_tokens + usage.completion_tokens,
    }


async def _read_chunks(client: openai.AsyncOpenAI, request: Any, on_text: Callable[[str], None]) -> Any:
    said: dict[str, Any] = {"role": "assistant", "content": ""}
    finish, usage = None, None
    calls: list[Any] = []
    async for chunk in await client.chat.completions.create(
        **request, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            if choice.delta.content:
                said["content"] += choice.delta.content
                on_text(choice.delta.content)
            if choice.delta.refusal:
                said["refusal"] = said.get("refusal", "") + choice.delta.refusal
            for part in choice.delta.tool_calls or ():
                if part.index == len(calls):
                    calls.append(
                        {"id": part.id, "type": "function", "function": {"name": part.function.name, "arguments": ""}}
                    )
                calls[part.index]["function"]["arguments"] += part.function.arguments or ""
    return (said | ({"tool_calls": calls} if calls else {})), finish, usage


def _call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "name": name, "arguments": arguments, "result": None, "approval": None}
