"""What OpenAI Responses refuses, close to its words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from grader.model.wires.openai_items import kind_of
from grader.model.wires.openai_shared_rules import (
    EFFORTS,
    VERBOSITIES,
    check_caching,
    check_choice,
    check_chosen,
    check_flag,
    check_function,
    check_known,
    check_limit,
    check_metadata,
    check_output_schema,
    check_ranges,
    check_strings,
    check_tool_list,
    missing,
    not_here,
    wrong_type,
    wrong_value,
)
from grader.model.wires.wire import JsonObject, Rejection, is_whole

# openai.types.responses.ResponseCreateParams of SDK 3.54.
FIELDS = frozenset(
    {
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
# Those that `POST /v1/responses/input_tokens` takes too.
COUNTED_FIELDS = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "personality",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
# Taken by the vendor, not by this double: no templates, no compaction, no moderation, no access programs.
NOT_HERE = ("access_programs", "background_options", "context_management", "image", "moderation", "prompt")
SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
ITEMS = ("message", "function_call", "function_call_output", "reasoning", "item_reference")
ROLES = ("user", "assistant", "system", "developer")
PARTS = {"user": ("input_text", "input_image", "input_file"), "assistant": ("output_text", "refusal")}
LEAST_OUTPUT = 16


def check(body: JsonObject, fields: Iterable[str] = FIELDS) -> None:
    """Raises Rejection for the first rule that the request breaks by itself, whatever was said before it."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise missing("model")
    check_known(body, fields)
    _check_scalars(body)
    _check_objects(body)
    _check_tools(body)
    _check_input(body)


def _check_scalars(body: JsonObject) -> None:
    check_flag(body, "stream", "store", "background", "parallel_tool_calls")
    for name in NOT_HERE:
        if body.get(name) is not None:
            raise not_here(name)
    if body.get("top_logprobs"):
        raise not_here("top_logprobs")
    check_strings(body, "instructions", "previous_response_id", "user", "safety_identifier")
    if body.get("max_tool_calls") is not None and not is_whole(body["max_tool_calls"]):
        raise wrong_type("max_tool_calls", "an integer", body["max_tool_calls"])
    if body.get("background") and body.get("store") is False:
        raise Rejection("Background mode requires 'store' to be true.", param="store", code="invalid_value")
    check_limit(body, "max_output_tokens", LEAST_OUTPUT)
    check_ranges(body)
    check_choice(body.get("service_tier"), "service_tier", SERVICE_TIERS)
    check_choice(body.get("truncation"), "truncation", ("auto", "disabled"))
    check_metadata(body.get("metadata"))
    check_caching(body, ("30m", "12h"))
    if (body.get("prompt_cache_options") or {}).get("prewarm"):
        raise not_here("prompt_cache_options.prewarm")
    if (body.get("prompt_cache_options") or {}).get("comparison_response_id"):
        raise not_here("prompt_cache_options.comparison_response_id")


def _check_objects(body: JsonObject) -> None:
    for name in ("stream_options", "reasoning", "text"):
        if body.get(name) is not None and not isinstance(body[name], dict):
            raise wrong_type(name, "an object", body[name])
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Rejection(message, param="stream_options")
    included = body.get("include") or []
    if not isinstance(included, list):
        raise wrong_type("include", "an array of strings", included)
    for index, name in enumerate(included):
        check_choice(name, f"include[{index}]", INCLUDABLE)
        if name == "message.output_text.logprobs":
            raise not_here(f"include[{index}]")
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    check_known(reasoning, ("context", "effort", "generate_summary", "mode", "summary"), "reasoning.")
    check_known(text, ("format", "verbosity"), "text.")
    check_choice(reasoning.get("effort"), "reasoning.effort", EFFORTS)
    for name in ("summary", "generate_summary"):
        check_choice(reasoning.get(name), f"reasoning.{name}", ("auto", "concise", "detailed"))
    check_choice(text.get("verbosity"), "text.verbosity", VERBOSITIES)
    match text.get("format"):
        case None | {"type": "text" | "json_object"}:
            return
        case {"type": "json_schema"} as wanted:
            check_output_schema(wanted, "text.format", "text.format.schema", "invalid_json_schema")
        case other:
            kind = other.get("type") if isinstance(other, dict) else other
            raise wrong_value("text.format.type", kind, ("text", "json_object", "json_schema"))


def _check_tools(body: JsonObject) -> None:
    tools = check_tool_list(body.get("tools"))
    names = [_tool_name(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    match body.get("tool_choice"):
        case None | "none" | "auto":
            return
        case "required":
            if not tools:
                message = "Tool choice 'required' must be specified with 'tools' parameter."
                raise Rejection(message, param="tool_choice", code="invalid_value")
        case {"type": "function", "name": str(name)}:
            check_chosen(name, names)
        case {"type": "allowed_tools", "mode": "auto" | "required", "tools": list(allowed)}:
            for tool in allowed:
                match tool:
                    case {"type": "function", "name": str(name)}:
                        check_chosen(name, names)
                    case _:
                        raise wrong_value("tool_choice.tools", tool, ("a function by its name",))
        case choice:
            raise wrong_value("tool_choice", choice, ("none", "auto", "required", "a named tool", "allowed_tools"))


def _tool_name(tool: object, place: str) -> str:
    if not isinstance(tool, dict):
        raise wrong_type(place, "an object", tool)
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise missing(f"{place}.type")
    if kind != "function":
        raise not_here(place, f"A tool of type '{kind}' runs at the vendor or takes free text: use a function.")
    return check_function(tool, place, f"{place}.parameters")


def _check_input(body: JsonObject) -> None:
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
