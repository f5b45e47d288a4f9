"""Reads what an upstream model said, on whichever wire and streamed or not, in neutral words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from grader.model.script import Refuse, Reply, Stop, Thinking, ToolCall, Turn
from grader.model.wires.wire import Answer, JsonObject, Rejection, json_object, objects, text_of

ANTHROPIC_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context_window",
}
OPENAI_STOPS: dict[str, Stop] = {"stop": "end", "length": "max_tokens", "tool_calls": "tool_use"}
# Lines of a stream after which a client need not read on; no text can hold one, for its own new lines are escaped.
LAST_EVENT = re.compile(
    rb"^(?:data: ?\[DONE\]|event: ?(?:message_stop|error|response\.(?:completed|incomplete|failed))\s"
    rb'|data: ?\{"type": ?"(?:message_stop|response\.(?:completed|incomplete|failed))")',
    re.MULTILINE,
)
LONGEST_MARK = 64  # bytes: no match of LAST_EVENT is longer


@dataclass(frozen=True)
class Heard:
    """A reply in neutral words with its tokens; `said` is None when it is no reply of a model's."""

    said: Turn | Refuse | None = None
    reply_id: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def as_answer(self) -> Answer:
        """For the journal alone; the bytes went to the program as they came."""
        turn = self.said
        return Answer(
            body={"id": self.reply_id} if self.reply_id else None,
            reply_text=turn.text if turn else "",
            thinking=turn.thinking if isinstance(turn, Turn) else "",
            tool_calls=turn.tool_calls if isinstance(turn, Turn) else (),
            stop=turn.ending if isinstance(turn, Turn) else "refusal" if turn else None,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens,
        )


@dataclass
class Ending:
    """Knows the part of a body from which on its client may know all of the reply; of a plain one that is the first."""

    content_type: str
    _begun: bool = False
    _tail: bytes = b""

    def begins_by(self, part: bytes) -> bool:
        """Whether the end has begun in this part, or before."""
        seen = self._tail + part
        self._begun = self._begun or "event-stream" not in self.content_type or LAST_EVENT.search(seen) is not None
        self._tail = seen[-LONGEST_MARK:]
        return self._begun


def hear(path: str, content_type: str, body: bytes) -> Heard:
    """What a reply says; a reply that cannot be read says nothing."""
    try:
        if "event-stream" in content_type:
            events = list(_events(body))
            message = _assembled(path, events)
        else:
            message = json_object(body)
        if path.startswith("/v1/messages"):
            return _anthropic(message)
        return _responses(message) if path.startswith("/v1/responses") else _chat(message)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, Rejection):
        return Heard()  # whatever a provider says goes to the program as it is; only the journal knows less


def error_message(body: bytes) -> str:
    """The words of an error in either vendor's shape, or its beginning."""
    try:
        told = json.loads(body)["error"]
        return str(told["message"]) if isinstance(told, dict) else str(told)
    except (ValueError, KeyError, TypeError):
        return body[:300].decode("utf-8", "replace")


def _events(body: bytes) -> Iterator[JsonObject]:
    for line in body.decode("utf-8", "replace").splitlines():
        if line.startswith("data:") and (data := line[5:].strip()) != "[DONE]":
            event = json.loads(data)
            if isinstance(event, dict):
                yield event


def _assembled(path: str, events: list[JsonObject]) -> JsonObject:
    """The whole message that a stream amounts to, in the shape of one that was not streamed."""
    if path.startswith("/v1/messages"):
        return _assembled_message(events)
    if path.startswith("/v1/responses"):
        return next((event["response"] for event in reversed(events) if "response" in event), {})
    return _assembled_chat(events)


def _assembled_message(events: list[JsonObject]) -> JsonObject:
    message: JsonObject = {}
    for event in events:
        match event.get("type"):
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                message["content"].append({**event["content_block"], "partial": ""})
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                block["partial"] += delta.get("partial_json", "")
                for name in ("text", "thinking"):
                    if name in delta:
                        block[name] = block.get(name, "") + delta[name]
            case "content_block_stop":
                block = message["content"][event["index"]]
                if block["partial"]:
                    block["input"] = json.loads(block["partial"])
            case "message_delta":
                message |= event["delta"]
                message["usage"] = {**message.get("usage", {}), **event.get("usage", {})}
    return message


def _assembled_chat(events: list[JsonObject]) -> JsonObject:
    message: JsonObject = {"content": "", "refusal": "", "tool_calls": []}
    whole: JsonObject = {}
    for event in events:
        whole["id"] = event.get("id")
        whole["usage"] = event.get("usage") or whole.get("usage")
        for choice in event.get("choices", [])[:1]:
            delta = choice.get("delta", {})
            whole["finish_reason"] = choice.get("finish_reason") or whole.get("finish_reason")
            for name in ("content", "refusal"):
                message[name] += delta.get(name) or ""
            for call in delta.get("tool_calls") or []:
                while len(message["tool_calls"]) <= call["index"]:
                    message["tool_calls"].append({"id": "", "function": {"name": "", "arguments": ""}})
                known = message["tool_calls"][call["index"]]
                known["id"] = call.get("id") or known["id"]
                for name in ("name", "arguments"):
                    known["function"][name] += call.get("function", {}).get(name) or ""
    return {**whole, "choices": [{"message": message, "finish_reason": whole.get("finish_reason")}]}


def _anthropic(message: JsonObject) -> Heard:
    parts: list[Reply | ToolCall | Thinking] = []
    for block in objects(message.get("content")):
        match block["type"]:
            case "text":
                parts.append(Reply(block["text"]))
            case "thinking":
                parts.append(Thinking(block["thinking"]))
            case "tool_use":
                parts.append(ToolCall(block["name"], block["input"], id=block["id"]))
    stop = ANTHROPIC_STOPS.get(text_of(message.get("stop_reason")), "end")
    usage = message.get("usage") or {}
    return Heard(
        said=Refuse("".join(p.text for p in parts if isinstance(p, Reply)))
        if stop == "refusal"
        else Turn(*parts, stop=stop),
        reply_id=text_of(message.get("id")),
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cache_read_tokens=usage.get("cache_read_input_tokens") or 0,
        cache_write_tokens=usage.get("cache_creation_input_tokens") or 0,
    )


def _chat(reply: JsonObject) -> Heard:
    usage = reply.get("usage") or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    said: Turn | Refuse | None = None
    if reply.get("choices"):
        choice = reply["choices"][0]
        message = choice["message"]
        calls = [
            ToolCall(call["function"]["name"], _arguments(call["function"].get("arguments")), id=call.get("id"))
            for call in message.get("tool_calls") or []
        ]
        text = [Reply(message["content"])] if message.get("content") else []
        stop = "tool_use" if calls else OPENAI_STOPS.get(text_of(choice.get("finish_reason")), "end")
        said = Refuse(message["refusal"]) if message.get("refusal") else Turn(*text, *calls, stop=stop)
    return Heard(
        said=said,
        reply_id=text_of(reply.get("id")),
        input_tokens=(usage.get("prompt_tokens") or 0) - cached,
        output_tokens=usage.get("completion_tokens") or 0,
        cache_read_tokens=cached,
    )


def _responses(response: JsonObject) -> Heard:
    parts: list[Reply | ToolCall | Thinking] = []
    refusal = ""
    for item in objects(response.get("output")):
        if item["type"] == "function_call":
            parts.append(ToolCall(item["name"], _arguments(item["arguments"]), id=item["call_id"]))
        for part in objects(item.get("content")):
            if part["type"] == "output_text":
                parts.append(Reply(part["text"]))
            elif part["type"] == "refusal":
                refusal += part["refusal"]
    usage = response.get("usage") or {}
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    cut = (response.get("incomplete_details") or {}).get("reason") == "max_output_tokens"
    return Heard(
        said=Refuse(refusal) if refusal else Turn(*parts, stop="max_tokens" if cut else None),
        reply_id=text_of(response.get("id")),
        input_tokens=(usage.get("input_tokens") or 0) - cached,
        output_tokens=usage.get("output_tokens") or 0,
        cache_read_tokens=cached,
    )


def _arguments(value: Any) -> dict[str, Any]:
    """Arguments as an object: most servers send JSON text, some the object itself."""
    found = json.loads(value or "{}") if isinstance(value, str) or value is None else value
    return found if isinstance(found, dict) else {}
