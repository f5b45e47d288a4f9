"""Makes a model that only knows text and JSON schemas call tools: the call is the JSON that it is held to."""

from __future__ import annotations

import json
from typing import Any

from grader.model.journal import Block, Message, Request
from grader.model.script import Refuse, Reply, ToolCall, Turn
from grader.model.upstream.translation import sampling, stop_sequences
from grader.model.wires.wire import JsonObject, canonical

SAY = "reply"


def as_schema_chat(request: Request) -> JsonObject:
    """A chat request without tools: they stand in the system prompt, and the reply's schema holds their calls."""
    tools = [] if request.tool_choice == "none" else list(request.tools)
    system = request.system
    if tools:
        offered = "\n".join(f"- {tool.name}: {tool.description} {canonical(tool.schema)}".rstrip() for tool in tools)
        system = f"{system}\n\nAnswer in JSON with one of these tools and its arguments:\n{offered}".strip()
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": _role(message), "content": _words(message)} for message in request.messages]
    body: JsonObject = {"model": request.model, "messages": messages}
    if tools:
        body["response_format"] = _format(_calls_schema(request))
    elif request.output_schema is not None:
        body["response_format"] = _format(dict(request.output_schema))
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if stops := stop_sequences(request):
        body["stop"] = stops
    return body | sampling(request)


def tool_turn(said: Turn | Refuse, request: Request) -> Turn | Refuse:
    """What such a reply means: a tool call, or text; JSON that was cut off stays text."""
    if isinstance(said, Refuse) or not request.tools or request.tool_choice == "none":
        return said
    try:
        value: Any = json.loads(said.text)
    except ValueError:
        return said
    if not isinstance(value, dict):
        return said
    if isinstance(value.get(SAY), str):
        return Turn(Reply(value[SAY]))
    if isinstance(value.get("tool"), str) and isinstance(value.get("arguments"), dict):
        return Turn(ToolCall(value["tool"], value["arguments"]))
    return said


def _format(schema: JsonObject) -> JsonObject:
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}}


def _calls_schema(request: Request) -> JsonObject:
    wanted = request.tool_choice[1] if isinstance(request.tool_choice, tuple) else None
    calls: list[JsonObject] = [
        {
            "type": "object",
            "properties": {"tool": {"const": tool.name}, "arguments": {"type": "object", **tool.schema}},
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }
        for tool in request.tools
        if wanted in (None, tool.name)
    ]
    if request.tool_choice in (None, "auto"):
        text = {
            "type": "object",
            "properties": {SAY: {"type": "string"}},
            "required": [SAY],
            "additionalProperties": False,
        }
        calls.append(text)
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _role(message: Message) -> str:
    """Chat templates of small models know three roles."""
    return {"tool": "user", "developer": "system"}.get(message.role, message.role)


def _words(message: Message) -> str:
    return "\n".join(said for block in message.blocks if (said := _said(block)))


def _said(block: Block) -> str:
    match block.kind:
        case "tool_use":
            return canonical({"tool": block.name, "arguments": block.arguments})
        case "tool_result":
            return f"Result of the tool: {block.text}"
        case "text" | "other":
            return block.text
        case _:
            return ""
