"""Says a request in the words of another wire: as OpenAI Chat Completions, or as Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grader.model.journal import Block, Message, Request
from grader.model.wires.wire import JsonObject, canonical

DEFAULT_MAX_TOKENS = 4096
# Sampling is called alike everywhere; what a wire does not know is left out.
SAMPLING = ("temperature", "top_p")


def as_chat(request: Request) -> JsonObject:
    """The body of `POST /v1/chat/completions` that asks the same."""
    body: JsonObject = {"model": request.model, "messages": list(_chat_messages(request))}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)},
            }
            for tool in request.tools
        ]
        match request.tool_choice:
            case ("tool", name):
                body["tool_choice"] = {"type": "function", "function": {"name": name}}
            case "any":
                body["tool_choice"] = "required"
            case "auto" | "none" as choice:
                body["tool_choice"] = choice
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.output_schema is not None:
        schema = {"name": "reply", "schema": dict(request.output_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if stops := stop_sequences(request):
        body["stop"] = stops
    return body | sampling(request)


def as_messages(request: Request) -> JsonObject:
    """The body of `POST /v1/messages` that asks the same."""
    system = [
        request.system,
        *(message.text for message in request.messages if message.role in ("system", "developer")),
    ]
    body: JsonObject = {
        "model": request.model,
        "max_tokens": request.max_tokens or DEFAULT_MAX_TOKENS,
        "messages": _alternating(request.messages),
    }
    if said := "\n\n".join(part for part in system if part):
        body["system"] = said
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": {"type": "object", **tool.schema}}
            for tool in request.tools
        ]
        match request.tool_choice:
            case ("tool", name):
                body["tool_choice"] = {"type": "tool", "name": name}
            case "any" | "auto" | "none" as choice:
                body["tool_choice"] = {"type": choice}
    if request.output_schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.output_schema)}}
    if stops := stop_sequences(request):
        body["stop_sequences"] = stops
    return body | sampling(request)


def sampling(request: Request) -> JsonObject:
    """Temperature and the like, where they were asked for."""
    return {name: request.body[name] for name in SAMPLING if request.body.get(name) is not None}


def stop_sequences(request: Request) -> list[str]:
    """What ends the reply, where it was asked for."""
    asked = request.body.get("stop_sequences") or request.body.get("stop") or []
    return [asked] if isinstance(asked, str) else list(asked)


def _chat_messages(request: Request) -> Iterator[JsonObject]:
    if request.system:
        yield {"role": "system", "content": request.system}
    for message in request.messages:
        results = [block for block in message.blocks if block.kind == "tool_result"]
        for block in results:
            yield {"role": "tool", "tool_call_id": block.id, "content": block.text}
        rest = [block for block in message.blocks if block.kind != "tool_result"]
        if rest or not results:
            yield _chat_message(message.role, rest)


def _chat_message(role: str, blocks: list[Block]) -> JsonObject:
    text = "".join(block.text for block in blocks if block.kind in ("text", "other"))
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": canonical(block.arguments or {})},
        }
        for block in blocks
        if block.kind == "tool_use"
    ]
    images = [picture for block in blocks if block.kind == "image" and (picture := _picture(block.raw))]
    said: JsonObject = {"role": "system" if role == "developer" else role, "content": text}
    if images:
        said["content"] = [{"type": "text", "text": text}, *images]
    return said | ({"tool_calls": calls, "content": text or None} if calls else {})


def _picture(raw: Any) -> JsonObject | None:
    """An image of either vendor's as a part of a chat message; None for one that cannot be carried over."""
    if not isinstance(raw, Mapping):
        return None
    if raw.get("type") == "image_url":
        return dict(raw)
    source = raw.get("source")
    if isinstance(source, Mapping) and source.get("type") == "base64":
        return {"type": "image_url", "image_url": {"url": f"data:{source['media_type']};base64,{source['data']}"}}
    if isinstance(source, Mapping) and source.get("type") == "url":
        return {"type": "image_url", "image_url": {"url": source["url"]}}
    return None


def _alternating(messages: tuple[Message, ...]) -> list[JsonObject]:
    """The messages as turns of user and assistant; neighbours of one role become one."""
    turns: list[JsonObject] = []
    for message in messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [said for block in message.blocks if (said := _anthropic_block(block))]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _anthropic_block(block: Block) -> JsonObject | None:
    match block.kind:
        case "tool_use":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments or {}}
        case "tool_result":
            return {"type": "tool_result", "tool_use_id": block.id, "content": block.text}
        case "image" if isinstance(block.raw, Mapping) and "source" in block.raw:
            return dict(block.raw)
        case "image" if isinstance(block.raw, Mapping) and isinstance(block.raw.get("image_url"), Mapping):
            return _anthropic_image(str(block.raw["image_url"].get("url", "")))
        case "text" | "other" if block.text:
            return {"type": "text", "text": block.text}
        case _:
            return None


def _anthropic_image(url: str) -> JsonObject:
    head, _, data = url.partition(";base64,")
    if data:
        source = {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}
        return {"type": "image", "source": source}
    return {"type": "image", "source": {"type": "url", "url": url}}
