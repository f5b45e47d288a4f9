"""A body of `POST /v1/responses` in neutral words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grader.model.journal import Tool, ToolChoice
from grader.model.wires.openai_items import items_of, messages_of, split_system
from grader.model.wires.wire import (
    Draft,
    JsonObject,
    canonical,
    is_whole,
    objects,
    text_of,
)


def read(body: Mapping[str, Any]) -> Draft:
    """A body of `POST /v1/responses` in neutral words: what was sent, not what the vendor keeps of earlier requests."""
    head, rest = split_system(items_of(body.get("input")))
    limit = body.get("max_output_tokens")
    instructions = text_of(body.get("instructions"))
    text = body.get("text")
    return Draft(
        model=text_of(body.get("model")),
        system=instructions + "".join(message.text for message in messages_of(head)),
        messages=messages_of(rest),
        tools=tuple(_tool(tool) for tool in objects(body.get("tools"))),
        tool_choice=_tool_choice(body.get("tool_choice")),
        max_tokens=limit if is_whole(limit) else None,
        stream=body.get("stream") is True,
        prefix=canonical([instructions, head, body.get("tools")]),
        continues=text_of(body.get("previous_response_id")),
        parallel_tools=body.get("parallel_tool_calls") is not False,
        output_schema=_output_schema(text.get("format")) if isinstance(text, dict) else None,
    )


def _tool(tool: JsonObject) -> Tool:
    schema = tool.get("parameters")
    return Tool(
        name=text_of(tool.get("name")),
        description=text_of(tool.get("description")),
        schema=schema if isinstance(schema, dict) else {},
        strict=tool.get("strict") is True,
    )


def _tool_choice(choice: object) -> ToolChoice:
    match choice:
        case "auto" | "none":
            return choice
        case "required" | {"type": "allowed_tools", "mode": "required"}:
            return "any"
        case {"type": "allowed_tools"}:
            return "auto"
        case {"type": "function", "name": str(name)}:
            return ("tool", name)
        case _:
            return None


def _output_schema(wanted: object) -> JsonObject | None:
    """The schema that a reply is promised to satisfy: in strict mode, and any object in JSON mode."""
    match wanted:
        case {"type": "json_schema", "schema": dict(schema), "strict": True}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object"}
        case _:
            return None
