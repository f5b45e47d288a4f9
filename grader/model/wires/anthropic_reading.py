"""Reads a body of Anthropic Messages into neutral words; never fails, whatever the body is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grader.model.journal import Block, Message, Tool, ToolChoice
from grader.model.wires.anthropic_prompt import marks_of, pieces_of, plain_text, text_in
from grader.model.wires.wire import Draft, JsonObject, canonical, is_whole, objects, text_of


def draft_of(body: Mapping[str, Any], known: tuple[Message, ...] = ()) -> Draft:
    """What a body says; `known` are the first of its messages where they were read before."""
    max_tokens = body.get("max_tokens")
    return Draft(
        model=text_of(body.get("model")),
        system=plain_text(body.get("system")),
        messages=(*known, *(message_of(message) for message in objects(body.get("messages"))[len(known) :])),
        tools=tuple(_tool(tool) for tool in objects(body.get("tools"))),
        tool_choice=_tool_choice(body.get("tool_choice")),
        max_tokens=max_tokens if is_whole(max_tokens) else None,
        stream=body.get("stream") is True,
        prefix=canonical([body.get("system"), body.get("tools")]),
        continues=_continued(body.get("thread")),
        cache_marks=marks_of(pieces_of(body)),
        parallel_tools=_is_parallel(body.get("tool_choice")),
        output_schema=_output_schema(body.get("output_config")),
    )


def message_of(message: JsonObject) -> Message:
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
            text = plain_text(block.get("content"))
            return Block("tool_result", text=text, id=text_of(block.get("tool_use_id")), raw=block)
        case "thinking" | "redacted_thinking":
            return Block("thinking", text=text_of(block.get("thinking")), raw=block)
        case "image":
            return Block("image", raw=block)
        case _:
            return Block("other", text=text_in(block), raw=block)


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
