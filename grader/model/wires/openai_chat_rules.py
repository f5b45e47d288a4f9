"""What OpenAI Chat Completions refuses with 400, close to its words."""

from __future__ import annotations

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
from grader.model.wires.wire import JsonObject, Rejection, canonical, objects

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
# Taken by the vendor, not by this double: it has no probabilities, no audio, no web, no moderation, one choice.
NOT_HERE = ("audio", "function_call", "functions", "logit_bias", "moderation", "prediction", "web_search_options")
MAX_STOPS = 4
SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")


def check(body: JsonObject) -> None:
    """Raises Rejection for the first rule that the request breaks."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Rejection("you must provide a model parameter")
    if "messages" not in body:
        raise missing("messages")
    check_known(body, FIELDS)
    _check_scalars(body)
    _check_messages(body["messages"])
    _check_pairs(body["messages"])
    _check_tools(body)
    _check_format(body)


def _check_scalars(body: JsonObject) -> None:
    check_flag(body, "stream", "store", "logprobs", "parallel_tool_calls")
    options = body.get("stream_options")
    if options is not None:
        if not body.get("stream"):
            message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
            raise Rejection(message, param="stream_options")
        if not isinstance(options, dict):
            raise wrong_type("stream_options", "an object", options)
    _check_what_is_not_here(body)
    _check_limits(body)
    check_ranges(body)
    check_choice(body.get("reasoning_effort"), "reasoning_effort", EFFORTS)
    check_choice(body.get("verbosity"), "verbosity", VERBOSITIES)
    check_choice(body.get("service_tier"), "service_tier", SERVICE_TIERS)
    check_metadata(body.get("metadata"))
    check_strings(body, "user", "safety_identifier")
    check_caching(body, ("30m",))
    _check_stop(body.get("stop"))


def _check_what_is_not_here(body: JsonObject) -> None:
    for name in NOT_HERE:
        if body.get(name) is not None:
            raise not_here(name, "Use 'tools' and 'tool_choice'." if name.startswith("function") else "")
    if body.get("logprobs") or body.get("top_logprobs") is not None:
        raise not_here("logprobs" if body.get("logprobs") else "top_logprobs")
    if body.get("n") not in (None, 1):
        raise Rejection("'n' must be 1: this endpoint gives one choice.", param="n", code="unsupported_value")
    if body.get("modalities") not in (None, ["text"]):
        raise Rejection("'modalities' must be ['text'].", param="modalities", code="unsupported_value")


def _check_limits(body: JsonObject) -> None:
    if all(body.get(name) is not None for name in ("max_tokens", "max_completion_tokens")):
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Rejection(message, code="invalid_parameter_combination")
    check_limit(body, "max_tokens", 1)
    check_limit(body, "max_completion_tokens", 1)


def _check_stop(stop: object) -> None:
    sequences = stop if isinstance(stop, list) else [stop] if stop is not None else []
    if not all(isinstance(sequence, str) for sequence in sequences):
        raise wrong_type("stop", "a string or an array of strings", stop)
    if len(sequences) > MAX_STOPS:
        message = (
            f"Invalid 'stop': array too long. Expected an array with maximum length {MAX_STOPS}, but got an array with "
            f"length {len(sequences)} instead."
        )
        raise Rejection(message, param="stop", code="array_above_max_length")


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1."
        raise Rejection(message, param="messages", code="empty_array")
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong_type(place, "an object", message)
        if "role" not in message:
            raise missing(f"{place}.role")
        if message["role"] not in ROLES:
            raise wrong_value(f"{place}.role", message["role"], ROLES)
        _check_message(message, place)


def _check_message(message: JsonObject, place: str) -> None:
    role, content = message["role"], message.get("content")
    speaks_otherwise = role == "assistant" and any(
        message.get(name) for name in ("tool_calls", "function_call", "refusal", "audio")
    )
    if content is None and not (speaks_otherwise or role == "function"):
        if "content" not in message:
            raise missing(f"{place}.content")
        raise wrong_type(f"{place}.content", "a string or an array of objects", None)
    if content is not None and not isinstance(content, (str, list)):
        raise wrong_type(f"{place}.content", "a string or an array of objects", content)
    for number, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, f"{place}.content[{number}]")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{place}.tool_call_id")
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise wrong_type(f"{place}.tool_calls", "an array of objects", calls)
    for number, call in enumerate(calls or ()):
        _check_call(call, f"{place}.tool_calls[{number}]")


def _check_part(part: object, place: str) -> None:
    if not isinstance(part, dict):
        raise wrong_type(place, "an object", part)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise missing(f"{place}.type")
    kinds = ("text", "image_url", "input_audio", "file", "refusal")
    if kind not in kinds:
        raise wrong_value(f"{place}.type", kind, kinds)
    if kind not in part:
        raise missing(f"{place}.{kind}")
    if kind in ("text", "refusal") and not isinstance(part[kind], str):
        raise wrong_type(f"{place}.{kind}", "a string", part[kind])


def _check_call(call: object, place: str) -> None:
    if not isinstance(call, dict):
        raise wrong_type(place, "an object", call)
    for name in ("id", "type"):
        if not isinstance(call.get(name), str):
            raise missing(f"{place}.{name}")
    if call["type"] != "function":
        return
    function = call.get("function")
    if not isinstance(function, dict):
        raise missing(f"{place}.function")
    if not isinstance(function.get("name"), str):
        raise missing(f"{place}.function.name")
    if not isinstance(function.get("arguments"), str):
        raise wrong_type(f"{place}.function.arguments", "a string", function.get("arguments"))


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


def _check_tools(body: JsonObject) -> None:
    tools = check_tool_list(body.get("tools"))
    if body.get("tools") == []:
        message = "Invalid 'tools': empty array. Expected an array with minimum length 1."
        raise Rejection(message, param="tools", code="empty_array")
    names = [_tool_name(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    choice = body.get("tool_choice")
    if not tools and choice not in (None, "none"):
        raise Rejection(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
            param="tool_choice",
        )
    if not tools and body.get("parallel_tool_calls") is not None:
        message = "'parallel_tool_calls' is only allowed when 'tools' are specified."
        raise Rejection(f"Invalid value for 'parallel_tool_calls': {message}", param="parallel_tool_calls")
    _check_choice(choice, names)


def _check_choice(choice: object, names: list[str]) -> None:
    match choice:
        case None | "none" | "auto" | "required":
            return
        case {"type": "function", "function": {"name": str(name)}}:
            check_chosen(name, names)
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required", "tools": list(allowed)}}:
            for tool in allowed:
                match tool:
                    case {"type": "function", "function": {"name": str(name)}}:
                        check_chosen(name, names)
                    case _:
                        raise wrong_value("tool_choice.allowed_tools.tools", tool, ("a function by its name",))
        case _:
            raise wrong_value("tool_choice", choice, ("none", "auto", "required", "a named tool", "allowed_tools"))


def _tool_name(tool: object, place: str) -> str:
    if not isinstance(tool, dict):
        raise wrong_type(place, "an object", tool)
    if not isinstance(tool.get("type"), str):
        raise missing(f"{place}.type")
    if tool["type"] == "custom":
        raise not_here(place, "Custom tools have free text for arguments: use a function.")
    if tool["type"] != "function":
        raise wrong_value(f"{place}.type", tool["type"], ("function", "custom"))
    function = tool.get("function")
    if not isinstance(function, dict):
        raise missing(f"{place}.function")
    return check_function(function, f"{place}.function", f"{place}.function.parameters")


def _check_format(body: JsonObject) -> None:
    wanted = body.get("response_format")
    match wanted:
        case None | {"type": "text"}:
            return
        case {"type": "json_object"}:
            if "json" not in canonical([message.get("content") for message in body["messages"]]).lower():
                message = (
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                    "'json_object'."
                )
                raise Rejection(message, param="messages")
        case {"type": "json_schema", "json_schema": dict(schema)}:
            check_output_schema(schema, "response_format.json_schema", "response_format", None)
        case {"type": "json_schema"}:
            raise missing("response_format.json_schema")
        case _:
            raise wrong_value("response_format", wanted, ("text", "json_object", "json_schema"))
