"""What Anthropic Messages refuses with 400, in its order and close to its words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grader.model.wires.wire import JsonObject, Rejection, is_whole, objects

# anthropic.types.MessageCreateParams of SDK 2.12, plus the sampling knobs that older models still take on the wire.
FIELDS = frozenset(
    {
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# Beta fields that need a state this double does not keep.
STATEFUL = {
    "thread": "This endpoint keeps no message threads: send the whole history (tool_runner(..., thread=False)).",
}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
ROLES = ("user", "assistant", "system")
BLOCK_FIELDS: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"content": list, "source": str, "title": str},
}


def check(body: JsonObject, headers: Mapping[str, str]) -> None:
    """Raises Rejection for the first rule that the request breaks."""
    if not headers.get("anthropic-version"):
        raise Rejection("anthropic-version: header is required")
    for name, reason in STATEFUL.items():
        if name in body:
            raise Rejection(f"{name}: {reason}")
    for name in ("model", "max_tokens", "messages"):
        _require(name in body, f"{name}: Field required")
    for name in body:
        _require(name in FIELDS, f"{name}: Extra inputs are not permitted")
    _check_scalars(body)
    _check_system(body.get("system"))
    _check_messages(body["messages"])
    _check_pairs(body["messages"])
    _check_tools(body.get("tools"), body.get("tool_choice"))


def _require(holds: object, message: str) -> None:
    if not holds:
        raise Rejection(message)


def _check_scalars(body: JsonObject) -> None:
    model = body["model"]
    _require(isinstance(model, str), "model: Input should be a valid string")
    _require(model, "model: String should have at least 1 character")
    max_tokens = body["max_tokens"]
    _require(is_whole(max_tokens), "max_tokens: Input should be a valid integer")
    _require(
        max_tokens >= 1, "max_tokens: must be at least 1 (0, which only warms the prompt cache, is not played here)"
    )
    _require(isinstance(body.get("stream", False), bool), "stream: Input should be a valid boolean")
    sequences = body.get("stop_sequences", [])
    _require(
        isinstance(sequences, list) and all(isinstance(item, str) for item in sequences),
        "stop_sequences: Input should be a valid list of strings",
    )
    for name, top in (("temperature", 1), ("top_p", 1)):
        value = body.get(name, 0)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        _require(number and 0 <= value <= top, f"{name}: range: 0..{top}")


def _check_system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    _require(isinstance(system, list), "system: Input should be a valid string or a list of text blocks")
    for index, block in enumerate(system if isinstance(system, list) else ()):
        place = f"system.{index}"
        _require(isinstance(block, dict) and block.get("type") == "text", f"{place}: Input should be a text block")
        _check_block(block, place)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise Rejection("messages: Input should be a valid list")
    _require(messages, "messages: at least one message is required")
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if not isinstance(message, dict):
            raise Rejection(f"{place}: Input should be an object")
        for name in ("role", "content"):
            _require(name in message, f"{place}.{name}: Field required")
        extra = sorted(set(message) - {"role", "content"})
        _require(not extra, f"{place}.{''.join(extra[:1])}: Extra inputs are not permitted")
        _require(message["role"] in ROLES, f"{place}.role: Input should be 'user', 'assistant' or 'system'")
        last_words = index == len(messages) - 1 and message["role"] == "assistant"
        _check_content(message["content"], place, may_be_empty=last_words)


def _check_content(content: object, place: str, *, may_be_empty: bool) -> None:
    if not isinstance(content, (str, list)):
        raise Rejection(f"{place}.content: Input should be a valid string or a list of content blocks")
    empty = f"{place}: all messages must have non-empty content except for the optional final assistant message"
    _require(content or may_be_empty, empty)
    if isinstance(content, list):
        for index, block in enumerate(content):
            inner = f"{place}.content.{index}"
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                raise Rejection(f"{inner}.type: Field required")
            _check_block(block, inner)


def _check_block(block: JsonObject, place: str) -> None:
    kind = block["type"]
    for name, kind_of_value in BLOCK_FIELDS.get(kind, {}).items():
        _require(name in block, f"{place}.{kind}.{name}: Field required")
        _require(
            isinstance(block[name], kind_of_value),
            f"{place}.{kind}.{name}: Input should be a valid {_named(kind_of_value)}",
        )
    if kind == "text":
        _require(block["text"], f"{place}: text content blocks must be non-empty")
    if kind == "tool_result":
        content = block.get("content", "")
        _require(isinstance(content, (str, list)), f"{place}.tool_result.content: Input should be a string or a list")
        for index, inner in enumerate(content if isinstance(content, list) else ()):
            spot = f"{place}.tool_result.content.{index}"
            _require(isinstance(inner, dict) and isinstance(inner.get("type"), str), f"{spot}.type: Field required")
            _check_block(inner, spot)


def _named(kind: type) -> str:
    names: dict[type, str] = {str: "string", dict: "dictionary", list: "list"}
    return names[kind]


def _check_pairs(messages: list[JsonObject]) -> None:
    """Every tool_use is answered in the next message, every tool_result answers the message before."""
    asked: list[str] = []
    index = 0
    for index, message in _combined(messages):
        blocks = objects(message["content"])
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if message["role"] != "user":
            _require(not answered, f"messages.{index}: `tool_result` blocks can only be in `user` messages")
        open_ids = [name for name in asked if name not in answered]
        _require(
            not open_ids,
            f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message.",
        )
        for name in answered:
            _require(
                name in asked,
                f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message.",
            )
            _require(answered.count(name) == 1, f"messages.{index}: each tool_use must have a single result: {name}")
        asked = [block["id"] for block in blocks if block["type"] == "tool_use"]
        _require(
            not asked or message["role"] == "assistant",
            f"messages.{index}: `tool_use` blocks can only be in `assistant` messages",
        )
        _require(len(asked) == len(set(asked)), f"messages.{index}: `tool_use` ids must be unique")
    _require(not asked, f"messages.{index}: `tool_use` ids were found without `tool_result` blocks: {', '.join(asked)}")


def _combined(messages: list[JsonObject]) -> list[tuple[int, JsonObject]]:
    """Consecutive messages of one role are one turn; each with the index of its last message."""
    turns: list[tuple[int, JsonObject]] = []
    for index, message in enumerate(messages):
        blocks = objects(message["content"])
        if turns and turns[-1][1]["role"] == message["role"]:
            blocks = [*turns.pop()[1]["content"], *blocks]
        turns.append((index, {"role": message["role"], "content": blocks}))
    return turns


def _check_tools(tools: object, choice: object) -> None:
    if tools is None:
        tools = []
    if not isinstance(tools, list):
        raise Rejection("tools: Input should be a valid list")
    for index, tool in enumerate(tools):
        _check_tool(tool, f"tools.{index}")
    names = [tool["name"] for tool in tools]
    _require(len(names) == len(set(names)), "tools: Tool names must be unique.")
    if choice is None:
        return
    if not isinstance(choice, dict) or choice.get("type") not in ("auto", "any", "tool", "none"):
        raise Rejection("tool_choice: Input should have a type of 'auto', 'any', 'tool' or 'none'")
    _require(tools or choice["type"] == "none", "tool_choice: may only be specified while providing tools.")
    if choice["type"] == "tool":
        _require(isinstance(choice.get("name"), str), "tool_choice.tool.name: Field required")
        _require(choice["name"] in names, f"tool_choice.tool.name: Tool '{choice['name']}' not found in provided tools")


def _check_tool(tool: object, place: str) -> None:
    if not isinstance(tool, dict):
        raise Rejection(f"{place}: Input should be an object")
    _require(isinstance(tool.get("name"), str), f"{place}.name: Field required")
    if tool.get("type") not in (None, "custom"):
        return  # a server tool: its schema is the vendor's business
    _require(
        TOOL_NAME.fullmatch(tool["name"]), f"{place}.custom.name: String should match pattern '^{TOOL_NAME.pattern}$'"
    )
    schema = tool.get("input_schema")
    _require(isinstance(schema, dict), f"{place}.custom.input_schema: Field required")
    _require(
        isinstance(schema, dict) and schema.get("type") == "object",
        f"{place}.custom.input_schema.type: Input should be 'object'",
    )
