"""Anthropic Messages: reads `POST /v1/messages` and renders its replies, plain and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grader.model.journal import Block, Message, Request, Tool, ToolChoice
from grader.model.memory import Memory
from grader.model.script import Refuse, Reply, Stop, Thinking, ToolCall, Turn
from grader.model.wires.anthropic_rules import check
from grader.model.wires.anthropic_thinking import Signer
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import (
    Answer,
    ChatWire,
    Draft,
    JsonObject,
    Rejection,
    canonical,
    encoded,
    is_whole,
    new_id,
    objects,
    output_tokens,
    pieces,
    reasoning_tokens,
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


class AnthropicMessages(ChatWire):
    name = "anthropic"
    vendor = AnthropicVendor()
    reply_type = "anthropic.types:Message"
    event_type = "anthropic.types:RawMessageStreamEvent"

    def __init__(self, memory: Memory) -> None:
        self._signer = Signer(memory)

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
            parallel_tools=_is_parallel(body.get("tool_choice")),
            output_schema=_output_schema(body.get("output_config")),
        )

    def validate(self, body: JsonObject, request: Request) -> None:
        check(body, request.headers)
        self._signer.check(body)

    def error_frame(self, rejection: Rejection, request_id: str, sent: int) -> bytes:  # noqa: ARG002
        return b"event: error\ndata: " + encoded(self.vendor.error(rejection, request_id)) + b"\n\n"

    def render(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=False)

    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=True)

    def _answer(self, turn: Turn | Refuse, request: Request, *, stream: bool) -> Answer:
        stop: Stop = "refusal" if isinstance(turn, Refuse) else turn.ending
        whole = Turn(Reply(turn.text)) if isinstance(turn, Refuse) else with_ids(turn, "toolu_")
        tokens = output_tokens(turn)
        message = self._rendered(whole, request, stop, tokens)
        if isinstance(turn, Refuse):
            message["stop_details"] = {"type": "refusal", "category": None, "explanation": turn.text}
        events = tuple(_events(message)) if stream else ()
        return Answer(
            body=None if stream else message,
            events=events,
            frames=tuple(f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n" for event in events),
            plain=b"" if stream else encoded(message),
            reply_text=turn.text,
            thinking=whole.thinking,
            tool_calls=whole.tool_calls,
            stop=stop,
            input_tokens=request.tokens,
            output_tokens=tokens,
            reasoning_tokens=reasoning_tokens(turn),
        )

    def _rendered(self, turn: Turn, request: Request, stop: Stop, tokens: int) -> JsonObject:
        sequences = request.body.get("stop_sequences") or [None]
        reply_id = new_id("msg_")
        return {
            "id": reply_id,
            "type": "message",
            "role": "assistant",
            "model": request.model,
            "content": self._content(turn, request, reply_id),
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
                "output_tokens_details": {"thinking_tokens": reasoning_tokens(turn)},
                "service_tier": "standard",
            },
        }

    def _content(self, turn: Turn, request: Request, reply_id: str) -> list[JsonObject]:
        """The parts as content blocks, in the script's order; thinking only for who has not switched it off."""
        shown, hidden = _wants_thinking(request)
        thoughts = [part for part in turn.parts if isinstance(part, Thinking)]
        signed = iter(self._signer.blocks(thoughts, model=request.model, reply_id=reply_id, hidden=hidden))
        content: list[JsonObject] = []
        for part in turn.parts:
            if isinstance(part, Thinking):
                block = next(signed)
                content += [block] if shown else []
            elif not (isinstance(part, Reply) and not part.text):
                content.append(_rendered_block(part))
        return content


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
        strict=tool.get("strict") is True,
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


def _is_parallel(choice: object) -> bool:
    return not (isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True)


def _output_schema(config: object) -> JsonObject | None:
    """The schema of `output_config.format`."""
    wanted = config.get("format") if isinstance(config, dict) else None
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) else None


def _continued(thread: object) -> str:
    """The id of the message that a message thread goes on from."""
    return text_of(thread.get("previous_message_id")) if isinstance(thread, dict) else ""


def _wants_thinking(request: Request) -> tuple[bool, bool]:
    """Whether thinking is shown to this request, and whether without its text."""
    asked = request.body.get("thinking")
    asked = asked if isinstance(asked, dict) else {}
    return asked.get("type") != "disabled", asked.get("display") == "omitted"


def _rendered_block(part: Reply | ToolCall) -> JsonObject:
    if isinstance(part, Reply):
        return {"type": "text", "text": part.text, "citations": None}
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments, "caller": {"type": "direct"}}


def _events(message: JsonObject) -> Iterator[JsonObject]:
    usage = message["usage"]
    start: JsonObject = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    yield {"type": "message_start", "message": {**message, **start, "usage": {**usage, "output_tokens": 1}}}
    for index, block in enumerate(message["content"]):
        empty = EMPTY.get(block["type"], {})
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
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
