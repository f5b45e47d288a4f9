"""What OpenAI Responses refuses of input items: their types and fields, and calls without their outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grader.model.wires.openai_items import kind_of
from grader.model.wires.openai_shared_rules import missing, not_here, wrong_type, wrong_value
from grader.model.wires.wire import JsonObject, Rejection

ITEMS = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
# Items of the vendor's own tools and of what this double does not play, in openai.types.responses of SDK 3.54.
ITEMS_NOT_HERE = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
ROLES = ("user", "assistant", "system", "developer")
PARTS = {"user": ("input_text", "input_image", "input_file"), "assistant": ("output_text", "refusal")}


def check_input(body: JsonObject) -> None:
    """Raises Rejection for the first rule that an item of the input breaks."""
    given = body.get("input")
    if given is None:
        if body.get("previous_response_id") is None:
            message = 'One of "input" or "previous_response_id" or "prompt" or "conversation" must be provided.'
            raise Rejection(message, param="input", code="missing_required_parameter")
        return
    if not isinstance(given, (str, list)):
        raise wrong_type("input", "a string or an array of input items", given)
    for index, item in enumerate(given if isinstance(given, list) else ()):
        _check_item(item, f"input[{index}]")


def _check_item(item: object, place: str) -> None:
    if not isinstance(item, dict):
        raise wrong_type(place, "an object", item)
    kind = kind_of(item)
    if isinstance(kind, str) and kind in ITEMS_NOT_HERE:
        raise not_here(place, f"An item of type '{kind}' belongs to what runs at the vendor: use functions.")
    if kind not in ITEMS:
        raise wrong_value(f"{place}.type", kind, ITEMS)
    if item.get("id") is not None and not isinstance(item["id"], str):
        raise wrong_type(f"{place}.id", "a string", item["id"])
    match kind:
        case "message":
            _check_message(item, place)
        case "function_call":
            _check_texts(item, place, "call_id", "name", "arguments")
        case "function_call_output":
            _check_texts(item, place, "call_id")
            _check_output(item, place)
        case "reasoning":
            if not isinstance(item.get("summary"), list):
                raise missing(f"{place}.summary")
        case _:
            _check_texts(item, place, "id")


def _check_texts(item: JsonObject, place: str, *names: str) -> None:
    for name in names:
        if item.get(name) is None:
            raise missing(f"{place}.{name}")
        if not isinstance(item[name], str):
            raise wrong_type(f"{place}.{name}", "a string", item[name])


def _check_message(item: JsonObject, place: str) -> None:
    role = item.get("role")
    if role is None:
        raise missing(f"{place}.role")
    if role not in ROLES:
        raise wrong_value(f"{place}.role", role, ROLES)
    content = item.get("content")
    if content is None:
        raise missing(f"{place}.content")
    if not isinstance(content, (str, list)):
        raise wrong_type(f"{place}.content", "a string or an array of objects", content)
    kinds = PARTS["assistant" if role == "assistant" else "user"]
    for number, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{place}.content[{number}]", kinds)


def _check_output(item: JsonObject, place: str) -> None:
    output = item.get("output")
    if output is None:
        raise missing(f"{place}.output")
    if not isinstance(output, (str, list)):
        raise wrong_type(f"{place}.output", "a string or an array of objects", output)
    for number, part in enumerate(output if isinstance(output, list) else ()):
        _check_part(part, f"{place}.output[{number}]", PARTS["user"])


def _check_part(part: object, place: str, kinds: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise wrong_type(place, "an object", part)
    kind = part.get("type")
    if kind is None:
        raise missing(f"{place}.type")
    if kind not in kinds:
        raise wrong_value(f"{place}.type", kind, kinds)
    name = "refusal" if kind == "refusal" else "text"
    if kind in ("input_text", "output_text", "refusal") and not isinstance(part.get(name), str):
        raise missing(f"{place}.{name}")


def check_calls(items: Iterable[Mapping[str, Any]]) -> None:
    """In all that the model would read, every call has its output and every output its call before it."""
    called: dict[str, bool] = {}
    for item in items:
        name = item.get("call_id")
        if item["type"] == "function_call" and isinstance(name, str):
            called.setdefault(name, False)
        elif item["type"] == "function_call_output" and isinstance(name, str):
            if name not in called:
                message = f"No tool call found for function call output with call_id {name}."
                raise Rejection(message, param="input")
            called[name] = True
    for name, answered in called.items():
        if not answered:
            raise Rejection(f"No tool output found for function call {name}.", param="input")
