"""What OpenAI Responses refuses, close to its words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grader.model.wires.openai_item_rules import check_input
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
from grader.model.wires.wire import JsonObject, Rejection, canonical, is_whole

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
LEAST_OUTPUT = 16


def check(body: JsonObject, fields: Iterable[str] = FIELDS) -> None:
    """Raises Rejection for the first rule that the request breaks by itself, whatever was said before it."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise missing("model")
    check_known(body, fields)
    _check_scalars(body)
    _check_objects(body)
    _check_tools(body)
    check_input(body)


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
    check_choice(reasoning.get("effort"), "reasoning.effort", EFFORTS)
    for name in ("summary", "generate_summary"):
        check_choice(reasoning.get(name), f"reasoning.{name}", ("auto", "concise", "detailed"))
    check_known(text, ("format", "verbosity"), "text.")
    check_choice(text.get("verbosity"), "text.verbosity", VERBOSITIES)
    _check_format(text.get("format"), body)


def _check_format(wanted: Any, body: JsonObject) -> None:
    match wanted:
        case None | {"type": "text"}:
            return
        case {"type": "json_object"}:
            _check_says_json(body)
        case {"type": "json_schema"}:
            check_output_schema(wanted, "text.format", "text.format.schema", "invalid_json_schema")
        case other:
            kind = other.get("type") if isinstance(other, dict) else other
            raise wrong_value("text.format.type", kind, ("text", "json_object", "json_schema"))


def _check_says_json(body: JsonObject) -> None:
    """JSON mode wants the word in what was sent; earlier turns of a chain may have it too."""
    sent = canonical([body.get("instructions"), body.get("input")]).lower()
    if body.get("previous_response_id") is None and "json" not in sent:
        message = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'."
        )
        raise Rejection(message, param="input")


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
