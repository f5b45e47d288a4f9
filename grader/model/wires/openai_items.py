"""Items of OpenAI Responses: what a program sends as `input`, made whole, and read as neutral messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, takewhile
from typing import Any

from grader.model.journal import Block, Message
from grader.model.wires.wire import JsonObject, new_id, objects, text_of

SYSTEM_ROLES = ("system", "developer")
ID_PREFIXES = {"message": "msg_", "function_call": "fc_", "function_call_output": "fco_", "reasoning": "rs_"}


def items_of(given: object) -> list[JsonObject]:
    """The items of an `input`, a string being one message of the user's; nothing is added to them but their type."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [{**item, "type": kind_of(item)} for item in objects(given)]


def kind_of(item: Mapping[str, Any]) -> Any:
    """The type that an item says, or what it is when it says none."""
    if item.get("type") is not None:
        return item["type"]
    return "message" if "role" in item or "id" not in item else "item_reference"


def whole(item: JsonObject) -> JsonObject:
    """The item as the vendor keeps it: with an id, a status, and its content as parts."""
    kind = item["type"]
    kept = {**item, "id": item.get("id") or new_id(ID_PREFIXES[kind], 48)}
    if kind != "reasoning":
        kept["status"] = item.get("status") or "completed"
    if kind == "message":
        kept["content"] = [_whole_part(part) for part in parts_of(item)]
    return kept


def parts_of(message: Mapping[str, Any]) -> list[JsonObject]:
    """The parts of a message's content; a string is one part of text."""
    content = message.get("content")
    if isinstance(content, str):
        kind = "output_text" if message.get("role") == "assistant" else "input_text"
        return [{"type": kind, "text": content}]
    return objects(content)


def _whole_part(part: JsonObject) -> JsonObject:
    match part.get("type"):
        case "output_text":
            return {"annotations": [], "logprobs": [], **part}
        case "input_image":
            return {"detail": "auto", **part}
        case _:
            return part


def split_system(items: Iterable[JsonObject]) -> tuple[list[JsonObject], list[JsonObject]]:
    """The system and developer messages at the head, and the rest."""
    listed = list(items)
    head = list(takewhile(lambda item: item["type"] == "message" and item.get("role") in SYSTEM_ROLES, listed))
    return head, listed[len(head) :]


def messages_of(items: Iterable[JsonObject]) -> tuple[Message, ...]:
    """Neutral messages: what the model said in one go, text, reasoning and calls, is one message."""
    return tuple(_messages(items))


def _messages(items: Iterable[JsonObject]) -> Iterator[Message]:
    for by_model, group in groupby(items, key=_is_by_model):
        blocks = [(item, _blocks(item)) for item in group]
        if by_model:
            yield Message("assistant", tuple(block for _, some in blocks for block in some))
        else:
            yield from (Message(_role(item), some) for item, some in blocks)


def _is_by_model(item: Mapping[str, Any]) -> bool:
    return item["type"] in ("function_call", "reasoning") or (
        item["type"] == "message" and item.get("role") == "assistant"
    )


def _role(item: Mapping[str, Any]) -> str:
    if item["type"] == "message":
        return text_of(item.get("role"))
    return "tool" if item["type"] == "function_call_output" else "user"


def _blocks(item: JsonObject) -> tuple[Block, ...]:
    match item["type"]:
        case "message":
            return tuple(_part(part) for part in parts_of(item))
        case "function_call":
            return (_call(item),)
        case "function_call_output":
            output = item.get("output")
            text = output if isinstance(output, str) else "".join(_part(part).text for part in objects(output))
            return (Block("tool_result", text=text, id=text_of(item.get("call_id")), raw=item),)
        case "reasoning":
            summary = "".join(text_of(part.get("text")) for part in objects(item.get("summary")))
            return (Block("thinking", text=summary, id=text_of(item.get("id")), raw=item),)
        case _:
            return (Block("other", raw=item),)


def _part(part: JsonObject) -> Block:
    match part.get("type"):
        case "input_text" | "output_text":
            return Block("text", text=text_of(part.get("text")), raw=part)
        case "refusal":
            return Block("text", text=text_of(part.get("refusal")), raw=part)
        case "input_image":
            return Block("image", raw=part)
        case _:
            return Block("other", raw=part)


def _call(item: JsonObject) -> Block:
    try:
        arguments = json.loads(text_of(item.get("arguments")))
    except ValueError:
        arguments = None
    return Block(
        "tool_use",
        id=text_of(item.get("call_id")),
        name=text_of(item.get("name")),
        arguments=arguments if isinstance(arguments, dict) else None,
        raw=item,
    )
