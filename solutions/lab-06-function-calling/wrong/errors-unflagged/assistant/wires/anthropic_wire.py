"""Anthropic Messages: thinking blocks go back as they came, results stand in the user turn behind their calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anthropic

from assistant.arguments import schemas
from assistant.replies import Call, Ending, Reply, Run, Step
from assistant.wires.wire import MODEL, OUTPUT_TOKENS, SYSTEM, IncompleteReplyError, OnText, Wire

ENDINGS: dict[str, Ending] = {"end_turn": "end", "stop_sequence": "end", "tool_use": "tools", "refusal": "refused"}
TOOLS = [{"name": name, "description": text, "input_schema": schema} for name, text, schema in schemas()]


class AnthropicWire(Wire):
    name = "anthropic"

    def __init__(self) -> None:
        self._client = anthropic.AsyncAnthropic(max_retries=0)

    def _broken(self, error: Exception) -> bool:
        return isinstance(error, anthropic.APIConnectionError)

    async def _attempt(self, conversation: Sequence[Run], on_text: OnText) -> Reply:
        stream = await self._client.messages.create(
            model=MODEL,
            max_tokens=OUTPUT_TOKENS,
            system=SYSTEM,
            messages=messages(conversation),
            tools=TOOLS,
            thinking={"type": "adaptive"},
            stream=True,
        )
        draft = _Draft()
        async with stream:
            async for event in stream:
                draft.take(event, on_text)
        return draft.reply()


class _Draft:
    """A reply while it streams in. A block counts when its stop has come, the reply when the message's has."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._json: dict[int, str] = {}
        self._stop_reason: str | None = None
        self._whole = False
        self._input_tokens = 0
        self._output_tokens = 0

    def take(self, event: Any, on_text: OnText) -> None:
        match event.type:
            case "message_start":
                usage = event.message.usage
                cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
                self._input_tokens = usage.input_tokens + cached
            case "content_block_start":
                self._blocks.append(event.content_block.model_dump(exclude_none=True))
                if event.content_block.type == "tool_use":
                    self._json[event.index] = ""
            case "content_block_delta":
                self._add(self._blocks[event.index], event, on_text)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason
                self._output_tokens = event.usage.output_tokens
            case "message_stop":
                self._whole = True

    def _add(self, block: dict[str, Any], event: Any, on_text: OnText) -> None:
        delta = event.delta
        match delta.type:
            case "text_delta":
                block["text"] += delta.text
                on_text(delta.text)
            case "input_json_delta":
                self._json[event.index] += delta.partial_json
            case "thinking_delta":
                block["thinking"] += delta.thinking
            case "signature_delta":
                block["signature"] = delta.signature

    def reply(self) -> Reply:
        if not self._whole or self._stop_reason is None:
            raise IncompleteReplyError("the stream ended before the message did")
        calls = tuple(
            Call(self._blocks[index]["id"], self._blocks[index]["name"], text or "{}")
            for index, text in self._json.items()
        )
        for index, text in self._json.items():
            self._blocks[index]["input"] = _readable(text)
        text = "".join(block["text"] for block in self._blocks if block["type"] == "text")
        ending = ENDINGS.get(self._stop_reason, "truncated")
        return Reply(text, calls, ending, self._input_tokens + self._output_tokens, self._blocks)


def _readable(text: str) -> dict[str, Any]:
    """What stands in the history for arguments: the API takes objects only."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def messages(conversation: Sequence[Run]) -> list[dict[str, Any]]:
    """The whole conversation: users' words and tool results in user turns, replies in between."""
    turns: list[dict[str, Any]] = []
    for run in conversation:
        _say(turns, "user", [{"type": "text", "text": run.message}])
        for step in run.steps:
            if content := _content(step):
                _say(turns, "assistant", content)
                _say(turns, "user", _results(step))
    return turns


def _say(turns: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    """Append to the last turn if it is of the same role: results first, then what the user says next."""
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": list(blocks)})


def _content(step: Step) -> list[dict[str, Any]]:
    reply = step.reply
    if not reply.text and not reply.calls:
        return []  # cut off while it thought: such a turn would be refused
    if step.wire == AnthropicWire.name:
        return [block for block in reply.native if block["type"] != "text" or block["text"]]
    text = [{"type": "text", "text": reply.text}] if reply.text else []
    calls = [{"type": "tool_use", "id": c.id, "name": c.name, "input": _readable(c.arguments)} for c in reply.calls]
    return text + calls


def _results(step: Step) -> list[dict[str, Any]]:
    return [
        {
            "type": "tool_result",
            "tool_use_id": call.id,
            "content": result.text,
            "is_error": result.error not in (None, "unknown_tool"),
        }
        for call, result in zip(step.reply.calls, step.results, strict=True)
        if result is not None
    ]
