"""OpenAI Chat Completions: reads `POST /v1/chat/completions` and renders its replies, plain and streamed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from grader.model.journal import Block, Message, Request, Tool, ToolChoice, prompt_tokens
from grader.model.script import Refuse, Stop, ToolCall, Turn
from grader.model.wires.openai_cache import CacheUse, PromptCache, segments_of
from grader.model.wires.openai_chat_rules import check
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import (
    Answer,
    ChatWire,
    Draft,
    JsonObject,
    Rejection,
    canonical,
    encoded,
    is_whole,
    new_id,
    objects,
    output_tokens,
    pieces,
    reasoning_tokens,
    text_of,
    with_ids,
    written,
)

FINISH_REASONS: dict[Stop, str] = {
    "end": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "refusal": "stop",
    "pause": "stop",
    "context_window": "length",
}
SYSTEM_ROLES = ("system", "developer")


class OpenAIChat(ChatWire):
    name = "openai-chat"
    vendor = OpenAIVendor()
    reply_type = "openai.types.chat:ChatCompletion"
    event_type = "openai.types.chat:ChatCompletionChunk"

    def __init__(self, cache: PromptCache) -> None:
        self._cache = cache

    def read(self, body: Mapping[str, Any]) -> Draft:
        messages = objects(body.get("messages"))
        # The system prompt is what stands at the head; a system message further down is one message among others.
        head = list(takewhile(lambda message: message.get("role") in SYSTEM_ROLES, messages))
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return Draft(
            model=text_of(body.get("model")),
            system="".join(_message(message).text for message in head),
            messages=tuple(_message(message) for message in messages[len(head) :]),
            tools=tuple(_tool(tool) for tool in objects(body.get("tools"))),
            tool_choice=_tool_choice(body.get("tool_choice")),
            max_tokens=limit if is_whole(limit) else None,
            stream=body.get("stream") is True,
            prefix=canonical([[message.get("content") for message in head], body.get("tools")]),
            parallel_tools=body.get("parallel_tool_calls") is not False,
            output_schema=_output_schema(body.get("response_format")),
        )

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002
        check(body)

    def error_frame(self, rejection: Rejection, request_id: str, sent: int) -> bytes:  # noqa: ARG002
        return b"data: " + encoded(self.vendor.error(rejection, request_id)) + b"\n\n"

    def render(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=False)

    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer:
        return self._answer(turn, request, stream=True)

    def settle(self, request: Request, answer: Answer | None) -> None:  # noqa: ARG002  the answer says it all
        if answer is not None:
            self._cache.remember(answer.keep)

    def _answer(self, turn: Turn | Refuse, request: Request, *, stream: bool) -> Answer:
        segments = segments_of(request.tools, _all_messages(request.body))
        use = self._cache.look_up(request, _settings(request.body), segments)
        stop: Stop = "refusal" if isinstance(turn, Refuse) else turn.ending
        whole = turn if isinstance(turn, Refuse) else with_ids(turn, "call_")
        completion = _rendered(whole, request, stop, _usage(request, turn, use))
        options = request.body.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        events = tuple(_chunks(completion, include_usage=usage)) if stream else ()
        frames = [b"data: " + encoded(event) + b"\n\n" for event in events]
        return Answer(
            body=None if stream else completion,
            plain=b"" if stream else encoded(completion),
            events=events,
            frames=(*frames, b"data: [DONE]\n\n") if stream else (),
            reply_text=turn.text,
            tool_calls=whole.tool_calls if isinstance(whole, Turn) else (),
            thinking="" if isinstance(turn, Refuse) else turn.thinking,
            stop=stop,
            input_tokens=_prompt_tokens(request) - use.read - use.written,
            output_tokens=output_tokens(turn),
            reasoning_tokens=reasoning_tokens(turn),
            cache_read_tokens=use.read,
            cache_write_tokens=use.written,
            keep=use,
        )


def _all_messages(body: Mapping[str, Any]) -> Iterator[Message]:
    return (_message(message) for message in objects(body.get("messages")))


def _prompt_tokens(request: Request) -> int:
    return prompt_tokens(request.tools, request.messages, request.system)


def _settings(body: Mapping[str, Any]) -> list[Any]:
    """What two requests must have in common for the one to find the other's prompt in the cache."""
    return [body.get(name) for name in ("tools", "response_format", "reasoning_effort", "verbosity", "service_tier")]


def _usage(request: Request, turn: Turn | Refuse, use: CacheUse) -> JsonObject:
    prompt, tokens = _prompt_tokens(request), output_tokens(turn)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
        "prompt_tokens_details": {
            "cached_tokens": use.read,
            "cache_write_tokens": use.written,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens(turn),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _message(message: JsonObject) -> Message:
    role = text_of(message.get("role"))
    content = message.get("content")
    if role == "tool":
        text = _plain_text(content)
        return Message(role, (Block("tool_result", text=text, id=text_of(message.get("tool_call_id")), raw=message),))
    blocks = [Block("text", text=content, raw=content)] if isinstance(content, str) else []
    blocks += [_part(part) for part in objects(content)]
    if isinstance(message.get("refusal"), str):
        blocks.append(Block("text", text=message["refusal"], raw=message["refusal"]))
    return Message(role, (*blocks, *(_call(call) for call in objects(message.get("tool_calls")))))


def _part(part: JsonObject) -> Block:
    match part.get("type"):
        case "text":
            return Block("text", text=text_of(part.get("text")), raw=part)
        case "refusal":
            return Block("text", text=text_of(part.get("refusal")), raw=part)
        case "image_url":
            return Block("image", raw=part)
        case _:
            return Block("other", raw=part)


def _plain_text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(_part(part).text for part in objects(content))


def _call(call: JsonObject) -> Block:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    try:
        arguments = json.loads(text_of(function.get("arguments")))
    except ValueError:
        arguments = None
    return Block(
        "tool_use",
        id=text_of(call.get("id")),
        name=text_of(function.get("name")),
        arguments=arguments if isinstance(arguments, dict) else None,
        raw=call,
    )


def _tool(tool: JsonObject) -> Tool:
    function = tool.get("function")
    function = function if isinstance(function, dict) else {}
    schema = function.get("parameters")
    return Tool(
        name=text_of(function.get("name")),
        description=text_of(function.get("description")),
        schema=schema if isinstance(schema, dict) else {},
        strict=function.get("strict") is True,
    )


def _tool_choice(choice: object) -> ToolChoice:
    match choice:
        case "auto":
            return "auto"
        case "none":
            return "none"
        case "required":
            return "any"
        case {"type": "function", "function": {"name": str(name)}}:
            return ("tool", name)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode}}:
            return "any" if mode == "required" else "auto"
        case _:
            return None


def _output_schema(wanted: object) -> JsonObject | None:
    """The schema that a reply is promised to satisfy: only in strict mode."""
    match wanted:
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), "strict": True}}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object"}
        case _:
            return None


def _rendered(turn: Turn | Refuse, request: Request, stop: Stop, usage: JsonObject) -> JsonObject:
    refusal = turn.text if stop == "refusal" else None
    message: JsonObject = {
        "role": "assistant",
        "content": None if refusal is not None else turn.text or None,
        "refusal": refusal,
        "annotations": [],
    }
    if isinstance(turn, Turn) and turn.tool_calls:
        message["tool_calls"] = [_rendered_call(call) for call in turn.tool_calls]
    elif refusal is None:
        message["content"] = turn.text
    return {
        "id": new_id("chatcmpl-", 29),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[stop]}],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _rendered_call(call: ToolCall) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": written(call)}}


def _chunks(completion: JsonObject, *, include_usage: bool) -> Iterator[JsonObject]:
    shared = {key: completion[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")}
    shared["object"] = "chat.completion.chunk"
    # Asked for usage, every chunk has the field and only the last one, which has no choice, fills it.
    unfilled = {"usage": None} if include_usage else {}
    choice = completion["choices"][0]
    for delta, finish in _deltas(choice["message"], choice["finish_reason"]):
        one = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield {**shared, "choices": [one], **unfilled}
    if include_usage:
        yield {**shared, "choices": [], "usage": completion["usage"]}


def _deltas(message: JsonObject, finish: str) -> Iterator[tuple[JsonObject, str | None]]:
    yield {"role": "assistant", "content": "" if message["content"] is not None else None, "refusal": None}, None
    for piece in pieces(message["content"] or ""):
        yield {"content": piece}, None
    for piece in pieces(message["refusal"] or ""):
        yield {"refusal": piece}, None
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        head = {"index": index, "id": call["id"], "type": "function", "function": {**function, "arguments": ""}}
        yield {"tool_calls": [head]}, None
        for piece in pieces(function["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None
    yield {}, finish
