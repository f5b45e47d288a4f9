"""What OpenAI refuses on every one of its chat endpoints, close to its words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from grader.model.schemas import too_deep
from grader.model.wires.openai_schemas import function_violation, strict_violation
from grader.model.wires.wire import JsonObject, Rejection, canonical, is_whole, json_type

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
VERBOSITIES = ("low", "medium", "high")
# What a request may ask a model to write at most; the largest of today's models give 128,000.
MAX_OUTPUT = 128_000
MAX_TOOLS = 128
# Of a function in Chat (`tools[].function`) and in Responses (`tools[]`), and of a schema for output.
FUNCTION_FIELDS = frozenset(
    {
        "allowed_callers",
        "async",
        "defer_loading",
        "description",
        "name",
        "output_schema",
        "parameters",
        "strict",
        "type",
    }
)
OUTPUT_FIELDS = frozenset({"description", "name", "schema", "strict", "type"})
MAX_METADATA = 16
METADATA_KEY, METADATA_VALUE = 64, 512


def missing(param: str) -> Rejection:
    return Rejection(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_type(param: str, expected: str, value: object) -> Rejection:
    message = f"Invalid type for '{param}': expected {expected}, but got {json_type(value)} instead."
    return Rejection(message, param=param, code="invalid_type")


def wrong_value(param: str, value: object, supported: Iterable[str]) -> Rejection:
    listed = [f"'{word}'" for word in supported]
    words = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return Rejection(f"Invalid value: '{value}'. Supported values are: {words}.", param=param, code="invalid_value")


def not_here(param: str, instead: str = "") -> Rejection:
    """The vendor takes it, this double does not; in the words the vendor has for a model that cannot do something."""
    message = f"Unsupported parameter: '{param}' is not supported with this model.{f' {instead}' if instead else ''}"
    return Rejection(message, param=param, code="unsupported_parameter")


def check_known(body: Mapping[str, Any], fields: Iterable[str], place: str = "") -> None:
    """No fields but these; `place` is where the object stands, with a full stop at its end."""
    for name in body:
        if name not in fields:
            raise Rejection(f"Unknown parameter: '{place}{name}'.", param=f"{place}{name}", code="unknown_parameter")


def check_strings(body: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if body.get(name) is not None and not isinstance(body[name], str):
            raise wrong_type(name, "a string", body[name])


def check_flag(body: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if body.get(name) is not None and not isinstance(body[name], bool):
            raise wrong_type(name, "a boolean", body[name])


def check_choice(value: object, param: str, supported: Iterable[str]) -> None:
    """One of a list of words, or null."""
    if value is not None and not isinstance(value, str):
        raise wrong_type(param, "a string", value)
    if value is not None and value not in tuple(supported):
        raise wrong_value(param, value, supported)


def check_ranges(body: Mapping[str, Any]) -> None:
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise wrong_type(name, "a number", value)
        if not low <= value <= high:
            message = f"Invalid '{name}': expected a value between {low} and {high}, but got {value}."
            raise Rejection(message, param=name, code="decimal_out_of_range")


def check_limit(body: Mapping[str, Any], name: str, lowest: int) -> None:
    """How many tokens may be written."""
    value = body.get(name)
    if value is None:
        return
    if not is_whole(value):
        raise wrong_type(name, "an integer", value)
    if value < lowest:
        message = (
            f"Invalid '{name}': integer below minimum value. Expected a value >= {lowest}, but got {value} instead."
        )
        raise Rejection(message, param=name, code="integer_below_min_value")
    if value > MAX_OUTPUT:
        message = (
            f"{name} is too large: {value}. This model supports at most {MAX_OUTPUT} completion tokens, whereas you "
            f"provided {value}."
        )
        raise Rejection(message, param=name, code="invalid_value")


def check_metadata(metadata: object) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise wrong_type("metadata", "an object", metadata)
    if len(metadata) > MAX_METADATA:
        message = f"Invalid 'metadata': too many properties. Expected at most {MAX_METADATA}, but got {len(metadata)}."
        raise Rejection(message, param="metadata", code="object_above_max_properties")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{key}", "a string", value)
        for text, limit in ((key, METADATA_KEY), (value, METADATA_VALUE)):
            if len(text) > limit:
                message = (
                    f"Invalid 'metadata.{key[:METADATA_KEY]}': string too long. Expected a string with maximum length "
                    f"{limit}, but got a string with length {len(text)} instead."
                )
                raise Rejection(message, param="metadata", code="string_above_max_length")


def check_caching(body: Mapping[str, Any], lifetimes: Iterable[str]) -> None:
    options = body.get("prompt_cache_options")
    if options is not None:
        if not isinstance(options, dict):
            raise wrong_type("prompt_cache_options", "an object", options)
        check_choice(options.get("mode"), "prompt_cache_options.mode", ("implicit", "explicit"))
        check_choice(options.get("ttl"), "prompt_cache_options.ttl", lifetimes)
    check_choice(body.get("prompt_cache_retention"), "prompt_cache_retention", ("in_memory", "24h"))
    check_strings(body, "prompt_cache_key")


def check_function(function: JsonObject, place: str, schema_place: str) -> str:
    """The name of a function that the model may call; `strict` needs a schema of the strict subset."""
    check_known(function, FUNCTION_FIELDS, f"{place}.")
    name = function.get("name")
    if not isinstance(name, str):
        raise missing(f"{place}.name")
    if not NAME.fullmatch(name):
        message = f"Invalid '{place}.name': expected a string that matches '^{NAME.pattern}$'."
        raise Rejection(message, param=f"{place}.name", code="invalid_value")
    check_flag(function, "strict")
    schema = function.get("parameters")
    strict = function.get("strict") is True
    if schema is None and not strict:
        return name
    complaint = strict_complaint(schema or {}) if strict else function_violation(schema)
    if complaint is not None:
        message = f"Invalid schema for function '{name}': {complaint}"
        raise Rejection(message, param=schema_place, code="invalid_function_parameters")
    return name


def check_tool_list(tools: object) -> list[Any]:
    if tools is not None and not isinstance(tools, list):
        raise wrong_type("tools", "an array of objects", tools)
    if isinstance(tools, list) and len(tools) > MAX_TOOLS:
        message = (
            f"Invalid 'tools': array too long. Expected an array with maximum length {MAX_TOOLS}, but got an array "
            f"with length {len(tools)} instead."
        )
        raise Rejection(message, param="tools", code="array_above_max_length")
    return tools or []


def check_output_schema(wanted: JsonObject, place: str, param: str, code: str | None) -> None:
    """The schema of `json_schema` output: its name always, its form where it is strict."""
    check_known(wanted, OUTPUT_FIELDS, f"{place}.")
    name = wanted.get("name")
    if not isinstance(name, str):
        raise missing(f"{place}.name")
    if not NAME.fullmatch(name):
        message = f"Invalid '{place}.name': expected a string that matches '^{NAME.pattern}$'."
        raise Rejection(message, param=f"{place}.name", code="invalid_value")
    check_flag(wanted, "strict")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise missing(f"{place}.schema") if schema is None else wrong_type(f"{place}.schema", "an object", schema)
    complaint = strict_complaint(schema) if wanted.get("strict") is True else function_violation(schema)
    if complaint is not None:
        message = f"Invalid schema for response_format '{name}': {complaint}"
        raise Rejection(message, param=param, code=code)


def strict_complaint(schema: object) -> str | None:
    """`strict_violation`, once for each schema: programs send the same ones over and over."""
    return strict_violation(schema) if too_deep(schema) else _strict_complaint(canonical(schema))


@lru_cache(maxsize=256)
def _strict_complaint(written: str) -> str | None:
    return strict_violation(json.loads(written))


def check_chosen(name: str, names: Iterable[str]) -> None:
    if name not in names:
        message = f"Tool choice '{name}' not found in 'tools' parameter."
        raise Rejection(message, param="tool_choice", code="invalid_value")
