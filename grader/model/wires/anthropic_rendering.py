"""A reply of Claude's as the vendor writes it: the message, and the events of its stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from grader.model.script import Reply, Stop, ToolCall, Turn
from grader.model.wires.anthropic_cache import Plan
from grader.model.wires.wire import JsonObject, canonical, encoded, output_tokens, pieces, reasoning_tokens

STOP_REASONS: dict[Stop, str] = {
    "end": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}
# What a block lacks when it starts in a stream.
EMPTY: dict[str, JsonObject] = {
    "text": {"text": ""},
    "tool_use": {"input": {}},
    "thinking": {"thinking": "", "signature": ""},
}
COUNTED_AT_THE_END = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
)


def rendered_block(part: Reply | ToolCall) -> JsonObject:
    if isinstance(part, Reply):
        return {"type": "text", "text": part.text, "citations": None}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments, "caller": {"type": "direct"}}


def rendered(reply_id: str, content: list[JsonObject], stop: Stop, request_body: Any, usage: JsonObject) -> JsonObject:
    """The message; `request_body` says which stop sequence it was."""
    sequences = request_body.get("stop_sequences") or [None]
    return {
        "id": reply_id,
        "type": "message",
        "role": "assistant",
        "model": request_body.get("model"),
        "content": content,
        "container": None,
        "diagnostics": None,
        "stop_reason": STOP_REASONS[stop],
        "stop_sequence": sequences[0] if stop == "stop_sequence" else None,
        "stop_details": None,
        "usage": usage,
    }


def usage_of(turn: Turn | None, plan: Plan, tier: str) -> JsonObject:
    """What is billed; without a turn nothing was generated."""
    return {
        "input_tokens": plan.fresh,
        "cache_creation_input_tokens": plan.write_5m + plan.write_1h,
        "cache_read_input_tokens": plan.read,
        "cache_creation": {"ephemeral_5m_input_tokens": plan.write_5m, "ephemeral_1h_input_tokens": plan.write_1h},
        "output_tokens": output_tokens(turn) if turn else 0,
        "output_tokens_details": {"thinking_tokens": reasoning_tokens(turn) if turn else 0},
        "service_tier": tier,
    }


def frame(event: JsonObject) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n"


def events_of(message: JsonObject) -> Iterator[JsonObject]:
    """The stream that adds up to the message."""
    usage = message["usage"]
    start: JsonObject = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **start, "usage": {**usage, "output_tokens": 1}}}
    for index, block in enumerate(message["content"]):
        yield {
            "type": "content_block_start",
            "index": index,
            "content_block": {**block, **EMPTY.get(block["type"], {})},
        }
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {key: message[key] for key in ("container", "stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": ending, "usage": {key: usage[key] for key in COUNTED_AT_THE_END}}
    yield {"type": "message_stop"}


def _deltas(block: JsonObject) -> Iterator[JsonObject]:
    match block["type"]:
        case "tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in pieces(canonical(block["input"])):
                yield {"type": "input_json_delta", "partial_json": piece}
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"]))
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "text":
            yield from ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
