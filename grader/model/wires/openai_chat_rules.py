"""What OpenAI Chat Completions refuses with 400, close to its words."""

from __future__ import annotations

import re

from grader.model.wires.wire import JsonObject, Rejection, is_whole, json_type, objects

# openai.types.chat.CompletionCreateParams of SDK 3.54.
FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
RANGES = {"temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2)}


def check(body: JsonObject) -> None:
    """Raises Rejection for the first rule that the request breaks."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Rejection("you must provide a model parameter")
    if "messages" not in body:
        raise _missing("messages")
    for name in body:
        if name not in FIELDS:
            raise Rejection(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    _check_scalars(body)
    _check_messages(body["messages"])
    _check_pairs(body["messages"])
    _check_tools(body.get("tools"), body.get("tool_choice"))
    _check_format(body.get("response_format"))


def _missing(param: str) -> Rejection:
    return Rejection(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def _wrong_type(param: str, expected: str, value: object) -> Rejection:
    message = f"Invalid type for '{param}': expected {expected}, but got {json_type(value)} instead."
    return Rejection(message, param=param, code="invalid_type")


def _wrong_value(param: str, value: object, supported: str) -> Rejection:
    return Rejection(f"Invalid value: '{value}'. Supported values are: {supported}.", param=param, code="invalid_value")


def _check_scalars(body: JsonObject) -> None:
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise _wrong_type("stream", "a boolean", stream)
    if body.get("stream_options") is not None and not stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Rejection(message, param="stream_options")
    if body.get("n") not in (None, 1):
        raise Rejection("'n' must be 1: this endpoint gives one choice.", param="n", code="unsupported_value")
    _check_limits(body)
    _check_ranges(body)


def _check_limits(body: JsonObject) -> None:
    limits = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    if len(limits) == 2:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Rejection(message, code="invalid_parameter_combination")
    for name in limits:
        if not is_whole(body[name]):
            raise _wrong_type(name, "an integer", body[name])
        if body[name] < 1:
            message = f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {body[name]}."
            raise Rejection(message, param=name, code="integer_below_min_value")


def _check_ranges(body: JsonObject) -> None:
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong_type(name, "a number", value)
        if not low <= value <= high:
            message = f"Invalid '{name}': expected a value between {low} and {high}, but got {value}."
            raise Rejection(message, param=name, code="decimal_out_of_range")


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise Rejection(message, param="messages", code="empty_array")
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _wrong_type(place, "an object", message)
        if "role" not in message:
            raise _missing(f"{place}.role")
        if message["role"] not in ROLES:
            raise _wrong_value(f"{place}.role", message["role"], ", ".join(f"'{role}'" for role in ROLES))
        _check_message(message, place)


def _check_message(message: JsonObject, place: str) -> None:
    role, content = message["role"], message.get("content")
    speaks_otherwise = role == "assistant" and any(
        message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio")
    )
    if content is None and not (speaks_otherwise or role == "function"):
        if "content" not in message:
            raise _missing(f"{place}.content")
        raise _wrong_type(f"{place}.content", "a string or an array of objects", None)
    if content is not None and not isinstance(content, (str, list)):
        raise _wrong_type(f"{place}.content", "a string or an array of objects", content)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{place}.content[{number}]")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise _missing(f"{place}.tool_call_id")
    for number, call in enumerate(message.get("tool_calls") or ()):
        _check_call(call, f"{place}.tool_calls[{number}]")


def _check_part(part: object, place: str) -> None:
    if not isinstance(part, dict):
        raise _wrong_type(place, "an object", part)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise _missing(f"{place}.type")
    kinds = ("text", "image_url", "input_audio", "file", "refusal")
    if kind not in kinds:
        raise _wrong_value(f"{place}.type", kind, ", ".join(f"'{name}'" for name in kinds))
    if kind not in part:
        raise _missing(f"{place}.{kind}")
    if kind in ("text", "refusal") and not isinstance(part[kind], str):
        raise _wrong_type(f"{place}.{kind}", "a string", part[kind])


def _check_call(call: object, place: str) -> None:
    if not isinstance(call, dict):
        raise _wrong_type(place, "an object", call)
    for name in ("id", "type"):
        if not isinstance(call.get(name), str):
            raise _missing(f"{place}.{name}")
    if call["type"] != "function":
        return
    function = call.get("function")
    if not isinstance(function, dict):
        raise _missing(f"{place}.function")
    if not isinstance(function.get("name"), str):
        raise _missing(f"{place}.function.name")
    if not isinstance(function.get("arguments"), str):
        raise _wrong_type(f"{place}.function.arguments", "a string", function.get("arguments"))


def _check_pairs(messages: list[JsonObject]) -> None:
    """Every tool call is answered by a tool message right after it, every tool message answers one."""
    waiting: list[str] = []
    answerable: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            name = message["tool_call_id"]
            if not answerable:
                raise Rejection(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            if name not in answerable:
                raise Rejection(
                    f"Invalid parameter: 'tool_call_id' of '{name}' not found in 'tool_calls' of previous message.",
                    param=f"messages.[{index}].tool_call_id",
                )
            waiting = [other for other in waiting if other != name]
            continue
        _check_none_waits(waiting, index)
        waiting = [call["id"] for call in objects(message.get("tool_calls"))]
        answerable = set(waiting)
    _check_none_waits(waiting, len(messages))


def _check_none_waits(waiting: list[str], index: int) -> None:
    if waiting:
        raise Rejection(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param=f"messages.[{index}].role",
        )


def _check_tools(tools: object, choice: object) -> None:
    if tools is not None and not isinstance(tools, list):
        raise _wrong_type("tools", "an array of objects", tools)
    if isinstance(tools, list) and not tools:
        message = "Invalid 'tools': empty array. Expected an array with minimum length 1."
        raise Rejection(message, param="tools", code="empty_array")
    names = [_tool_name(tool, f"tools[{index}]") for index, tool in enumerate(tools or ())]
    if choice is None:
        return
    if not tools and choice != "none":
        raise Rejection(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )
    match choice:
        case "none" | "auto" | "required":
            return
        case {"type": "function", "function": {"name": str(name)}}:
            if name not in names:
                message = f"Invalid value for 'tool_choice': function '{name}' not found in 'tools'."
                raise Rejection(message, param="tool_choice")
        case {"type": "allowed_tools" | "custom"}:
            return
        case _:
            raise _wrong_value("tool_choice", choice, "'none', 'auto', 'required' and a named tool")


def _tool_name(tool: object, place: str) -> str:
    if not isinstance(tool, dict):
        raise _wrong_type(place, "an object", tool)
    if not isinstance(tool.get("type"), str):
        raise _missing(f"{place}.type")
    if tool["type"] == "custom":
        return ""
    if tool["type"] != "function":
        raise _wrong_value(f"{place}.type", tool["type"], "'function' and 'custom'")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise _missing(f"{place}.function")
    name = function.get("name")
    if not isinstance(name, str):
        raise _missing(f"{place}.function.name")
    if not NAME.fullmatch(name):
        message = f"Invalid '{place}.function.name': expected a string that matches '^{NAME.pattern}$'."
        raise Rejection(message, param=f"{place}.function.name", code="invalid_value")
    parameters = function.get("parameters", {})
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        message = f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
        raise Rejection(message, param=f"{place}.function.parameters", code="invalid_function_parameters")
    return name


def _check_format(wanted: object) -> None:
    match wanted:
        case None | {"type": "text" | "json_object"}:
            return
        case {"type": "json_schema", "json_schema": {"name": str(name), "schema": dict()}} if NAME.fullmatch(name):
            return
        case {"type": "json_schema"}:
            raise _missing("response_format.json_schema")
        case _:
            raise _wrong_value("response_format", wanted, "'text', 'json_object' and 'json_schema'")
