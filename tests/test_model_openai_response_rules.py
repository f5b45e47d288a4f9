"""What Responses refuses, in the vendor's words, and what it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from grader.model.script import Reply, ToolCall
from grader.model.server import ModelDouble

from .response_requests import LOOKUP, TOOLS, ask


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> Iterator[ModelDouble]:
    running.reset()
    yield running
    assert running.protocol_faults == ()
    assert running.leftover == ()


@pytest.fixture(scope="module")
def gpt(running: ModelDouble) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=running.openai_base_url, api_key="dummy", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


SCHEMA: dict[str, Any] = {"type": "json_schema", "name": "shipment", "schema": LOOKUP, "strict": True}
USER: dict[str, Any] = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": ""}, "Missing required parameter: 'model'"),
        ({"input": None}, 'One of "input" or "previous_response_id"'),
        ({"input": 7}, "Invalid type for 'input': expected a string or an array"),
        ({"input": ["x"]}, r"Invalid type for 'input\[0\]'"),
        ({"input": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'"),
        ({"input": [{"type": "message", "content": "x"}]}, r"'input\[0\].role'"),
        ({"input": [{"role": "user"}]}, r"'input\[0\].content'"),
        ({"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "Invalid value: 'text'"),
        ({"input": [{"role": "assistant", "content": [{"type": "input_text"}]}]}, "Invalid value: 'input_text'"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, r"content\[0\].text"),
        (
            {"input": [{"type": "web_search_call", "id": "x"}]},
            "An item of type 'web_search_call' belongs to what runs at the vendor",
        ),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, r"'input\[0\].name'"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, r"'input\[0\].output'"),
        ({"input": [{"type": "reasoning", "id": "rs_1"}]}, r"'input\[0\].summary'"),
        ({"max_output_tokens": 15}, "Expected a value >= 16, but got 15 instead"),
        ({"max_output_tokens": 10**9}, "max_output_tokens is too large"),
        ({"temperature": 3}, "between 0 and 2"),
        ({"truncation": "sometimes"}, "Invalid value: 'sometimes'"),
        ({"reasoning": {"effort": "huge"}}, "Invalid value: 'huge'"),
        ({"reasoning": "low"}, "Invalid type for 'reasoning'"),
        ({"text": {"format": {"type": "xml"}}}, "Invalid value: 'xml'"),
        ({"text": {"format": {**SCHEMA, "schema": {"type": "object"}}}}, "Invalid schema for response_format 'shipm"),
        ({"tools": [{**TOOLS[0], "parameters": {"type": "object"}}]}, "Invalid schema for function 'lookup'"),
        ({"tools": [{"type": "web_search"}]}, "A tool of type 'web_search' runs at the vendor"),
        ({"tools": [{"type": "function"}]}, r"'tools\[0\].name'"),
        ({"tool_choice": "required"}, "must be specified with 'tools'"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "g"}}, "Tool choice 'g' not found"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}},
            "Invalid value",
        ),
        ({"include": ["message.output_text.logprobs"]}, "Unsupported parameter"),
        ({"include": ["all"]}, "Invalid value: 'all'"),
        ({"top_logprobs": 3}, "Unsupported parameter: 'top_logprobs'"),
        ({"prompt": {"id": "pmpt_1"}}, "Unsupported parameter: 'prompt'"),
        ({"background": True, "store": False}, "requires 'store' to be true"),
        ({"stream_options": {"include_obfuscation": False}}, "only allowed when 'stream' is enabled"),
        ({"metadata": {"a": 1}}, "Invalid type for 'metadata.a'"),
        ({"prompt_cache_options": {"prewarm": True}}, "Unsupported parameter: 'prompt_cache_options.prewarm'"),
        ({"extra_body": {"temperatur": 1}}, "Unknown parameter: 'temperatur'"),
        ({"text": {"verbose": "low"}}, "Unknown parameter: 'text.verbose'"),
        ({"reasoning": {"efort": "low"}}, "Unknown parameter: 'reasoning.efort'"),
        ({"tools": [{**TOOLS[0], "stric": True}]}, r"Unknown parameter: 'tools\[0\].stric'"),
        ({"text": {"format": {**SCHEMA, "stric": True}}}, "Unknown parameter: 'text.format.stric'"),
        ({"user": 7}, "Invalid type for 'user': expected a string"),
        ({"max_tool_calls": "1"}, "Invalid type for 'max_tool_calls'"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "Mutually exclusive parameters"),
    ],
)
def test_responses_refuse(gpt: openai.OpenAI, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        ask(gpt, **changes)
    assert (refused.value.request_id or "").startswith("req_")
    assert refused.value.type == "invalid_request_error"


def test_a_bad_schema_names_its_place(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(gpt, text={"format": {**SCHEMA, "schema": {"type": "object"}}})
    assert (refused.value.param, refused.value.code) == ("text.format.schema", "invalid_json_schema")


def test_there_are_no_conversations_here(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Conversation with id 'conv_1' not found"):
        ask(gpt, conversation="conv_1")


@pytest.mark.parametrize(
    "changes",
    [
        {"input": [USER, {"role": "assistant", "content": [{"type": "output_text", "text": "x"}]}, USER]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.org/a.png"}]}]},
        {"tools": TOOLS, "tool_choice": {"type": "function", "name": "lookup"}},
        {"tools": [{"type": "function", "name": "f"}], "parallel_tool_calls": False, "max_tool_calls": 3},
        {"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [TOOLS[0]]}},
        {"text": {"format": SCHEMA, "verbosity": "low"}, "include": ["reasoning.encrypted_content"]},
        {"service_tier": "flex", "truncation": "auto", "user": "u", "safety_identifier": "s", "top_p": 0.5},
        {"text": {"format": {"type": "json_object"}}, "instructions": "Answer in JSON."},
        {"prompt_cache_key": "k", "prompt_cache_options": {"mode": "implicit", "ttl": "12h"}},
        {"prompt_cache_retention": "24h", "max_output_tokens": 16, "reasoning": {"effort": "none"}},
    ],
)
def test_responses_accept(double: ModelDouble, gpt: openai.OpenAI, changes: dict[str, Any]) -> None:
    forced = "tool_choice" in changes
    double.script(ToolCall("lookup", {"id": "1"}) if forced else Reply('{"id": "1"}'))
    assert ask(gpt, **changes).status == "completed"
