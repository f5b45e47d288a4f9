"""What Anthropic refuses of tools: their definitions, the choice among them, calls and results that do not pair."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

from grader.model.schemas import not_a_schema
from grader.model.wires import anthropic_schemas
from grader.model.wires.wire import JsonObject, Rejection, canonical, objects, require

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# Of the vendor's own tools, those with no date in their type (newest version) and those that are sets without a name.
SERVER_TOOL = re.compile(r"[a-z0-9_]+_\d{8}|mcp_toolset|tool_search_tool_(bm25|regex)")
TOOLSET = re.compile(r"[a-z_]+_toolset(_\d{8})?")
# anthropic.types.ToolParam of SDK 2.12.
TOOL_FIELDS = frozenset(
    {
        "allowed_callers",
        "cache_control",
        "defer_loading",
        "description",
        "eager_input_streaming",
        "input_examples",
        "input_schema",
        "name",
        "strict",
        "type",
    }
)


def check_calls(messages: list[JsonObject], tools: object, *, ours: Callable[[str], bool]) -> None:
    """Calls in the history are of tools that the request still offers.

    Args:
        ours: whether this double made a call by that id although its tool was not offered.
    """
    offered = {tool.get("name") for tool in objects(tools)}
    for index, message in enumerate(messages):
        for number, block in enumerate(objects(message["content"])):
            if block["type"] != "tool_use" or block.get("toolset_name") or ours(block["id"]):
                continue
            place = f"messages.{index}.content.{number}"
            require(tools, "Requests which include `tool_use` or `tool_result` blocks must define tools")
            require(block["name"] in offered, f"{place}.tool_use.name: Tool '{block['name']}' not found in tools")


def check_pairs(messages: list[JsonObject]) -> None:
    """Every tool_use is answered in the next message, every tool_result answers the message before."""
    asked: list[str] = []
    index = 0
    for index, message in _combined(messages):
        blocks = objects(message["content"])
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if message["role"] != "user":
            require(not answered, f"messages.{index}: `tool_result` blocks can only be in `user` messages")
        open_ids = [name for name in asked if name not in answered]
        require(
            not open_ids,
            f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message.",
        )
        for name in answered:
            require(
                name in asked,
                f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message.",
            )
            require(answered.count(name) == 1, f"messages.{index}: each tool_use must have a single result: {name}")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        require(
            not asked or message["role"] == "assistant",
            f"messages.{index}: `tool_use` blocks can only be in `assistant` messages",
        )
        require(len(asked) == len(set(asked)), f"messages.{index}: `tool_use` ids must be unique")
    require(not asked, f"messages.{index}: `tool_use` ids were found without `tool_result` blocks: {', '.join(asked)}")


def _combined(messages: list[JsonObject]) -> list[tuple[int, JsonObject]]:
    """Consecutive messages of one role are one turn; each with the index of its last message."""
    turns: list[tuple[int, JsonObject]] = []
    for index, message in enumerate(messages):
        blocks = objects(message["content"])
        if turns and turns[-1][1]["role"] == message["role"]:
            blocks = [*turns.pop()[1]["content"], *blocks]
        turns.append((index, {"role": message["role"], "content": blocks}))
    return turns


def check_tools(tools: object, choice: object) -> None:
    if tools is None:
        tools = []
    if not isinstance(tools, list):
        raise Rejection("tools: Input should be a valid list")
    for index, tool in enumerate(tools):
        _check_tool(tool, f"tools.{index}")
    names = [tool["name"] for tool in tools if "name" in tool]
    require(len(names) == len(set(names)), "tools: Tool names must be unique.")
    strict = [tool["input_schema"] for tool in tools if tool.get("strict") is True]
    complaint = anthropic_schemas.too_complex(strict)
    require(complaint is None, str(complaint))
    if choice is not None:
        _check_choice(choice, names, any_tools=bool(tools))


def _check_choice(choice: object, names: list[str], *, any_tools: bool) -> None:
    if not isinstance(choice, dict) or choice.get("type") not in ("auto", "any", "tool", "none"):
        raise Rejection("tool_choice: Input should have a type of 'auto', 'any', 'tool' or 'none'")
    kind = choice["type"]
    require(any_tools or kind == "none", "tool_choice: may only be specified while providing tools.")
    if kind == "tool":
        require(isinstance(choice.get("name"), str), "tool_choice.tool.name: Field required")
        require(choice["name"] in names, f"tool_choice.tool.name: Tool '{choice['name']}' not found in provided tools")
    for name in choice:
        known = ("type", *(("disable_parallel_tool_use",) if kind != "none" else ()), *(("name",) * (kind == "tool")))
        require(name in known, f"tool_choice.{kind}.{name}: Extra inputs are not permitted")
    require(
        isinstance(choice.get("disable_parallel_tool_use", False), bool),
        f"tool_choice.{kind}.disable_parallel_tool_use: Input should be a valid boolean",
    )


def _check_tool(tool: object, place: str) -> None:
    if not isinstance(tool, dict):
        raise Rejection(f"{place}: Input should be an object")
    kind = tool.get("type")
    if kind not in (None, "custom"):
        known = isinstance(kind, str) and SERVER_TOOL.fullmatch(kind)
        require(known, f"{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
        has_name = isinstance(tool.get("name"), str) or TOOLSET.fullmatch(str(kind))
        require(has_name, f"{place}.name: Field required")
        return  # the rest of it is the vendor's business
    require(isinstance(tool.get("name"), str), f"{place}.custom.name: Field required")
    require(
        TOOL_NAME.fullmatch(tool["name"]), f"{place}.custom.name: String should match pattern '^{TOOL_NAME.pattern}$'"
    )
    for name in tool:
        require(name in TOOL_FIELDS, f"{place}.custom.{name}: Extra inputs are not permitted")
    for name, wanted in (("description", str), ("strict", bool)):
        named = "string" if wanted is str else "boolean"
        require(isinstance(tool.get(name, wanted()), wanted), f"{place}.custom.{name}: Input should be a valid {named}")
    _check_schema(tool, f"{place}.custom")


def _check_schema(tool: JsonObject, place: str) -> None:
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise Rejection(f"{place}.input_schema: Field required")
    require(schema.get("type") == "object", f"{place}.input_schema.type: Input should be 'object'")
    for name in ("oneOf", "allOf", "anyOf"):
        require(
            name not in schema,
            f"{place}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        )
    require(
        _is_schema(canonical(schema)),
        f"{place}.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
        "(https://json-schema.org/draft/2020-12). Learn more about tool use at "
        "https://docs.claude.com/en/docs/tool-use.",
    )
    complaint = _strict_complaint(canonical(schema)) if tool.get("strict") is True else None
    require(complaint is None, f"{place}.input_schema: {complaint}")


@lru_cache(maxsize=256)
def _strict_complaint(written: str) -> str | None:
    return anthropic_schemas.strict_violation(json.loads(written))


@lru_cache(maxsize=256)
def _is_schema(written: str) -> bool:
    """Whether this is a JSON schema at all; programs send the same tools over and over."""
    return not_a_schema(json.loads(written)) is None
