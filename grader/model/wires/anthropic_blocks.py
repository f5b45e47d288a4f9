"""What Anthropic refuses of content blocks: unknown types, fields that are missing, mistyped or not theirs."""

from __future__ import annotations

from grader.model.wires.wire import JsonObject, Rejection, require

# The fields that a block needs, and those that it may have besides, of the params in anthropic.types of SDK 2.12.
NEEDED: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"content": list, "source": str, "title": str},
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    "text": ("cache_control", "citations"),
    "tool_use": ("cache_control", "caller", "toolset_name"),
    "tool_result": ("cache_control", "content", "is_error", "toolset_name"),
    "thinking": ("cache_control",),  # refused as a breakpoint, in the vendor's words for those
    "redacted_thinking": ("cache_control",),
    "image": ("cache_control", "transformations"),
    "document": ("cache_control", "citations", "context", "title"),
    "search_result": ("cache_control", "citations"),
}
# Of the vendor's own tools and betas: taken as they are, nothing within them is looked at.
UNREAD = frozenset(
    {
        "advisor_tool_result",
        "bash_code_execution_tool_result",
        "browser_state",
        "code_execution_tool_result",
        "compaction",
        "container_upload",
        "fallback",
        "mcp_tool_listing",
        "mcp_tool_result",
        "mcp_tool_use",
        "server_tool_use",
        "text_editor_code_execution_tool_result",
        "tool_addition",
        "tool_reference",
        "tool_removal",
        "tool_search_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)


def check_content(content: object, place: str, *, may_be_empty: bool) -> None:
    """Raises Rejection for the first rule that the content of a message breaks."""
    if not isinstance(content, (str, list)):
        raise Rejection(f"{place}.content: Input should be a valid string or a list of content blocks")
    empty = f"{place}: all messages must have non-empty content except for the optional final assistant message"
    require(content or may_be_empty, empty)
    if isinstance(content, list):
        for index, block in enumerate(content):
            inner = f"{place}.content.{index}"
            if not isinstance(block, dict) or not isinstance(block.get("type"), str):
                raise Rejection(f"{inner}.type: Field required")
            check_block(block, inner)


def check_block(block: JsonObject, place: str) -> None:
    """Raises Rejection for the first rule that a block with a `type` breaks."""
    kind = block["type"]
    if kind in UNREAD:
        return
    tags = ", ".join(f"'{tag}'" for tag in NEEDED)
    require(kind in NEEDED, f"{place}: Input tag '{kind}' found using 'type' does not match any of: {tags}")
    for name, kind_of_value in NEEDED[kind].items():
        require(name in block, f"{place}.{kind}.{name}: Field required")
        require(
            isinstance(block[name], kind_of_value),
            f"{place}.{kind}.{name}: Input should be a valid {_named(kind_of_value)}",
        )
    for name in block:
        known = name == "type" or name in NEEDED[kind] or name in OPTIONAL[kind]
        require(known, f"{place}.{kind}.{name}: Extra inputs are not permitted")
    if kind == "text":
        require(block["text"], f"{place}: text content blocks must be non-empty")
    if kind == "tool_result":
        _check_result(block, place)


def _check_result(block: JsonObject, place: str) -> None:
    content = block.get("content", "")
    require(isinstance(content, (str, list)), f"{place}.tool_result.content: Input should be a string or a list")
    for index, inner in enumerate(content if isinstance(content, list) else ()):
        spot = f"{place}.tool_result.content.{index}"
        require(isinstance(inner, dict) and isinstance(inner.get("type"), str), f"{spot}.type: Field required")
        check_block(inner, spot)


def _named(kind: type) -> str:
    names: dict[type, str] = {str: "string", dict: "dictionary", list: "list"}
    return names[kind]
