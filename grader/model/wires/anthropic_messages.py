"""Anthropic Messages: reads `POST /v1/messages` and renders its replies, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grader.model.embeddings import Embedder
from grader.model.journal import Block, Message, Request, Tool, ToolChoice
from grader.model.script import Refuse, Reply, Stop, ToolCall, Turn
from grader.model.wires.anthropic_rules import check
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import (
    Answer,
    ChatWire,
    Draft,
    JsonObject,
    canonical,
    encoded,
    is_whole,
    new_id,
    objects,
    output_tokens,
    pieces,
    text_of,
    with_ids,
)

STOP_REASONS: dict[Stop, str] = {
    "end": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}


class AnthropicMessages(ChatWire):
    name = "anthropic"
    vendor = AnthropicVendor()

    def read(self, body: Mapping[str, Any]) -> Draft:
        max_tokens = body.get("max_tokens")
        return Draft(
            model=text_of(body.get("model")),
            system=_plain_text(body.get("system")),
            messages=tuple(_message(message) for message in objects(body.get("messages"))),
            tools=tuple(_tool(tool) for tool in objects(body.get("tools"))),
            tool_choice=_tool_choice(body.get("tool_choice")),
            max_tokens=max_tokens if is_whole(max_tokens) else None,
            stream=body.get("stream") is True,
            prefix=canonical([body.get("system"), body.get("tools")]),
            continues=_continued(body.get("thread")),
        )

    def validate(self, body: JsonObject, headers: Mapping[str, str], embedder: Embedder) -> None:  # noqa: ARG002
        check(body, headers)

    def render(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=False)

    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=True)

    def _answer(self, turn: Turn | Refuse, request: Request, *, stream: bool) -> Answer:
        stop: Stop = "refusal" if isinstance(turn, Refuse) else turn.ending
        whole = Turn(Reply(turn.text)) if isinstance(turn, Refuse) else with_ids(turn, "toolu_")
        tokens = output_tokens(turn)
        message = _rendered(whole, request, stop, tokens)
        if isinstance(turn, Refuse):
            message["stop_details"] = {"type": "refusal", "category": None, "explanation": turn.text}
        events = tuple(_events(message)) if stream else ()
        return Answer(
            body=None if stream else message,
            events=events,
            frames=tuple(f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n" for event in events),
            plain=b"" if stream else encoded(message),
            reply_text=turn.text,
            tool_calls=whole.tool_calls,
            stop=stop,
            input_tokens=request.tokens,
            output_tokens=tokens,
        )


def _message(message: JsonObject) -> Message:
    content = message.get("content")
    role = text_of(message.get("role"))
    if isinstance(content, str):
        return Message(role, (Block("text", text=content, raw=content),))
    return Message(role, tuple(_block(block) for block in objects(content)))


def _block(block: JsonObject) -> Block:
    match block.get("type"):
        case "text":
            return Block("text", text=text_of(block.get("text")), raw=block)
        case "tool_use":
            arguments = block.get("input")
            return Block(
                "tool_use",
                id=text_of(block.get("id")),
                name=text_of(block.get("name")),
                arguments=arguments if isinstance(arguments, dict) else None,
                raw=block,
            )
        case "tool_result":
            text = _plain_text(block.get("content"))
            return Block("tool_result", text=text, id=text_of(block.get("tool_use_id")), raw=block)
        case "thinking":
            return Block("thinking", text=text_of(block.get("thinking")), raw=block)
        case "image":
            return Block("image", raw=block)
        case _:
            return Block("other", text=_document_text(block), raw=block)


def _plain_text(content: object) -> str:
    """The text of a string or of an array of blocks."""
    if isinstance(content, str):
        return content
    return "".join(_block(block).text for block in objects(content))


def _document_text(block: JsonObject) -> str:
    """What the model reads of a document or a search result."""
    source = block.get("source")
    inner = text_of(source.get("data")) or _plain_text(source.get("content")) if isinstance(source, dict) else ""
    if isinstance(source, dict) and source.get("type") not in ("text", "content"):
        inner = ""  # base64 or an address: no text
    return text_of(block.get("title")) + text_of(block.get("context")) + inner + _plain_text(block.get("content"))


def _tool(tool: JsonObject) -> Tool:
    schema = tool.get("input_schema")
    return Tool(
        name=text_of(tool.get("name")),
        description=text_of(tool.get("description")),
        schema=schema if isinstance(schema, dict) else {},
    )


def _tool_choice(choice: object) -> ToolChoice:
    if not isinstance(choice, dict):
        return None
    match choice.get("type"):
        case "auto" | "any" | "none" as kind:
            return kind  # type: ignore[no-any-return]  # mypy does not narrow captured literals of Any
        case "tool":
            return ("tool", text_of(choice.get("name")))
        case _:
            return None


def _continued(thread: object) -> str:
    """The id of the message that a message thread goes on from."""
    return text_of(thread.get("previous_message_id")) if isinstance(thread, dict) else ""


def _rendered(turn: Turn, request: Request, stop: Stop, tokens: int) -> JsonObject:
    sequences = request.body.get("stop_sequences") or [None]
    return {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [_rendered_block(part) for part in turn.parts if not (isinstance(part, Reply) and not part.text)],
        "container": None,
        "stop_reason": STOP_REASONS[stop],
        "stop_sequence": sequences[0] if stop == "stop_sequence" else None,
        "stop_details": None,
        "usage": {
            "input_tokens": request.tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": tokens,
            "service_tier": "standard",
        },
    }


def _rendered_block(part: Reply | ToolCall) -> JsonObject:
    if isinstance(part, Reply):
        return {"type": "text", "text": part.text, "citations": None}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments, "caller": {"type": "direct"}}


def _events(message: JsonObject) -> Iterator[JsonObject]:
    usage = message["usage"]
    start: JsonObject = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **start, "usage": {**usage, "output_tokens": 1}}}
    for index, block in enumerate(message["content"]):
        empty: JsonObject = {"input": {}} if block["type"] == "tool_use" else {"text": ""}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {key: message[key] for key in ("container", "stop_reason", "stop_sequence", "stop_details")}
    counted = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    yield {"type": "message_delta", "delta": ending, "usage": {key: usage[key] for key in counted}}
    yield {"type": "message_stop"}


def _deltas(block: JsonObject) -> Iterator[JsonObject]:
    if block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(canonical(block["input"])))
    else:
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
