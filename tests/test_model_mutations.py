"""Whatever a program sends, the double answers or refuses in the vendor's words; it never breaks on it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from grader.model.batches import Batches
from grader.model.embeddings import WordLlamaEmbedder
from grader.model.memory import Memory
from grader.model.script import Reply, Thinking, ToolCall, Turn
from grader.model.wires import routes_of
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Arrival, ChatWire, ComputedWire, Rejection, json_object

ROUNDS = 600
HEADERS = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "enum": ["a", "b"]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/N"}},
    },
    "required": ["id", "list"],
    "additionalProperties": False,
    "$defs": {"N": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
}
STRANGE: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "auto",
    [],
    [[]],
    {},
    {"type": 7},
    {"a": {}},
    "\ud800",
]
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/messages": {
        "model": "any",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok"}]},
                    {"type": "text", "text": "so?"},
                ],
            },
        ],
        "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA, "strict": True}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"},
        "thinking": {"type": "adaptive"},
        "metadata": {"user_id": "u"},
    },
    "/v1/chat/completions": {
        "model": "any",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "x" * 5000}]},
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": SCHEMA}}],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}},
        "stream_options": {"include_usage": True},
        "stream": True,
        "metadata": {"a": "b"},
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "stop": ["a"],
        "reasoning_effort": "low",
        "user": "u",
    },
    "/v1/responses": {
        "model": "any",
        "input": [
            {"role": "developer", "content": "x" * 5000},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "ok"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]},
        ],
        "instructions": "Be short.",
        "tools": [{"type": "function", "name": "f", "strict": True, "parameters": SCHEMA}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "text": {"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "metadata": {"a": "b"},
        "prompt_cache_options": {"mode": "implicit", "ttl": "12h"},
        "background": True,
        "user": "u",
        "safety_identifier": "s",
        "max_tool_calls": 3,
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    },
    "/v1/responses/input_tokens": {
        "model": "any",
        "input": [{"role": "user", "content": "hi"}],
        "text": {"format": {"type": "json_object"}},
    },
    "/v1/messages/count_tokens": {"model": "any", "messages": [{"role": "user", "content": "hi"}], "system": "x"},
}
TURN = Turn(Thinking("hm"), Reply("text"), ToolCall("f", {"a": [1]}))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from places(child, (*path, key))


def mutated(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The body with one to three places dropped, replaced, wrapped or doubled."""
    made = copy.deepcopy(body)
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = rng.choice(list(places(made)) or [("model",)])
        holder: Any = made
        for step in path[:-1]:
            holder = holder[step]
        last = path[-1]
        match rng.randrange(5):
            case 0:
                del holder[last]
            case 1:
                holder[last] = [holder[last]]
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case 3 if isinstance(holder, dict):
                holder[f"{last}_"] = holder.pop(last)
            case _:
                holder[last] = copy.deepcopy(rng.choice(STRANGE))
    return made


@pytest.mark.parametrize("path", BODIES)
def test_no_body_breaks_a_wire(path: str) -> None:
    rng = random.Random(path)
    memory = Memory()
    routes = routes_of(memory, WordLlamaEmbedder(), Batches(memory))
    vendor = AnthropicVendor() if "messages" in path else OpenAIVendor()
    found = routes.find("POST", path, vendor)
    assert found is not None
    wire = found.wire
    taken = 0
    refusals: list[Rejection] = []
    for number in range(ROUNDS):
        raw = json.dumps(mutated(BODIES[path], rng)).encode()
        request = wire.parse(Arrival(number, "POST", path, HEADERS, raw, 0.0))
        try:
            wire.validate(json_object(raw), request)
        except Rejection as rejection:
            refusals.append(rejection)
            continue
        taken += 1
        if isinstance(wire, ChatWire):
            answer = wire.render_stream(TURN, request) if request.stream else wire.render(TURN, request)
            answer = wire.defer(request, answer, TURN, ()) or answer
            assert answer.frames or answer.plain
            wire.settle(request, answer)
        elif isinstance(wire, ComputedWire):
            assert wire.compute(request).plain
    assert taken > ROUNDS // 50
    assert len(refusals) > ROUNDS // 5
    assert {refusal.status for refusal in refusals} <= {400, 404}
    assert all(refusal.message for refusal in refusals)
