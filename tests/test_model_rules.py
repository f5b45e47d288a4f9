"""What the double refuses, in each vendor's shape: a program that would fail at the vendor fails here too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from grader.model.script import Reply
from grader.model.server import ModelDouble

BEARER = {"authorization": "Bearer k"}
CLAUDE = {**BEARER, "anthropic-version": "2026-10-21"}
USER = {"role": "user", "content": "hi"}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ASKED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
MISSING = object()


@pytest.fixture(scope="module")
def double() -> Iterator[ModelDouble]:
    with ModelDouble() as running:
        running.respond(lambda _: Reply("fine"))
        yield running


@pytest.fixture(scope="module")
def client(double: ModelDouble) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=double.anthropic_base_url, timeout=20) as opened:
        yield opened


def messages(client: httpx2.Client, **changes: Any) -> httpx2.Response:
    return client.post(
        "/v1/messages", json=changed({"model": "m", "max_tokens": 9, "messages": [USER]}, changes), headers=CLAUDE
    )


def chat(client: httpx2.Client, **changes: Any) -> httpx2.Response:
    return client.post(
        "/v1/chat/completions", json=changed({"model": "m", "messages": [USER]}, changes), headers=BEARER
    )


def embeddings(client: httpx2.Client, **changes: Any) -> httpx2.Response:
    return client.post(
        "/v1/embeddings", json=changed({"model": "meridian-embed-1", "input": "x"}, changes), headers=BEARER
    )


def changed(body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**body, **changes}.items() if value is not MISSING}


def claude_error(response: httpx2.Response, status: int = 400, kind: str = "invalid_request_error") -> str:
    assert response.status_code == status
    body = response.json()
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["request_id"] == response.headers["request-id"]
    return str(body["error"]["message"])


def openai_error(response: httpx2.Response, status: int = 400) -> str:
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"].startswith("req_")
    return str(error["message"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": MISSING}, "model: Field required"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"max_tokens": MISSING}, "max_tokens: Field required"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"messages": MISSING}, "messages: Field required"),
        ({"messages": []}, "at least one message is required"),
        ({"messages": "hi"}, "messages: Input should be a valid list"),
        ({"messages": ["hi"]}, "messages.0: Input should be an object"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{**USER, "name": "x"}]}, "messages.0.name: Extra inputs are not permitted"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0.type: Field required"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "must be non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "content.0.text.text: Field required"),
        ({"messages": [USER, CALL]}, "without `tool_result` blocks: t1"),
        ({"messages": [USER, CALL, USER]}, "without `tool_result` blocks immediately after: t1"),
        ({"messages": [USER, CALL, RESULT, RESULT]}, "each tool_use must have a single result: t1"),
        ({"messages": [USER, RESULT]}, "unexpected `tool_use_id` found in `tool_result` blocks: t1"),
        ({"messages": [USER, {"role": "assistant", "content": RESULT["content"]}]}, "only be in `user` messages"),
        ({"messages": [{"role": "user", "content": CALL["content"]}]}, "only be in `assistant` messages"),
        ({"temperatur": 1}, "temperatur: Extra inputs are not permitted"),
        ({"temperature": 2}, "temperature: range: 0..1"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"system": 7}, "system: Input should be"),
        ({"system": [{"type": "image"}]}, "system.0: Input should be a text block"),
        ({"tools": "f"}, "tools: Input should be a valid list"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name: Field required"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "should match pattern"),
        ({"tools": [{"name": "f"}]}, "input_schema: Field required"),
        ({"tools": [{"name": "f", "input_schema": {}}]}, "input_schema.type: Input should be 'object'"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tool_choice": {"type": "any"}}, "may only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice: Input should have a type"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "Tool 'g' not found"),
    ],
)
def test_anthropic_refuses(client: httpx2.Client, changes: dict[str, Any], words: str) -> None:
    assert words in claude_error(messages(client, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [USER, CALL, RESULT], "tools": [TOOL]},
        {"messages": [USER, USER, CALL, RESULT, USER], "tools": [TOOL]},
        {"messages": [USER, {"role": "system", "content": "Be short."}]},
        {"messages": [USER, {"role": "assistant", "content": "The answer is"}]},
        {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
        {"temperature": 0, "metadata": {"user_id": "u"}},
        {"tools": [TOOL, {"type": "web_search_20260318", "name": "web_search"}], "tool_choice": {"type": "none"}},
    ],
)
def test_anthropic_accepts(client: httpx2.Client, changes: dict[str, Any]) -> None:
    assert messages(client, **changes).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": MISSING}, "you must provide a model parameter"),
        ({"messages": MISSING}, "Missing required parameter: 'messages'"),
        ({"messages": []}, "empty array"),
        ({"messages": "hi"}, "Invalid type for 'messages': expected an array of objects, but got string"),
        ({"messages": ["hi"]}, "Invalid type for 'messages[0]'"),
        ({"messages": [{"content": "x"}]}, "Missing required parameter: 'messages[0].role'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'"),
        ({"messages": [{"role": "user"}]}, "Missing required parameter: 'messages[0].content'"),
        ({"messages": [{"role": "user", "content": None}]}, "but got null instead"),
        ({"messages": [{"role": "user", "content": 7}]}, "but got integer instead"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "Invalid value: 'tool_result'"),
        ({"messages": [USER, TOLD]}, "must be a response to a preceeding message with 'tool_calls'"),
        ({"messages": [USER, ASKED]}, "did not have response messages: c1"),
        ({"messages": [USER, ASKED, USER]}, "did not have response messages: c1"),
        ({"messages": [USER, ASKED, {**TOLD, "tool_call_id": "c2"}]}, "'tool_call_id' of 'c2' not found"),
        ({"messages": [USER, ASKED, {"role": "tool", "content": "x"}]}, "messages[2].tool_call_id"),
        ({"messages": [USER, {**ASKED, "tool_calls": [{"id": "c1"}]}]}, "messages[1].tool_calls[0].type"),
        ({"max_token": 9}, "Unknown parameter: 'max_token'"),
        ({"messages": [USER, {**ASKED, "tool_calls": True}]}, "Invalid type for 'messages[1].tool_calls'"),
        ({"user": 7}, "Invalid type for 'user': expected a string"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "stric": True}}]},
            "Unknown parameter: 'tools[0].function.stric'",
        ),
        ({"max_tokens": 9, "max_completion_tokens": 9}, "at the same time"),
        ({"max_tokens": 0}, "integer below minimum value"),
        ({"max_completion_tokens": "9"}, "Invalid type for 'max_completion_tokens'"),
        ({"temperature": 3}, "between 0 and 2"),
        ({"top_p": "1"}, "Invalid type for 'top_p'"),
        ({"stream": 1}, "Invalid type for 'stream'"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream' is enabled"),
        ({"n": 2}, "'n' must be 1"),
        ({"tools": []}, "Invalid 'tools': empty array"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]}, "schema"),
        ({"tool_choice": "auto"}, "only allowed when 'tools' are specified"),
        ({"tools": [FUNCTION], "tool_choice": "any"}, "Invalid value: 'any'"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "'g' not found"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "xml"}}, "Invalid value"),
        ({"response_format": {"type": "json_object"}}, "must contain the word 'json'"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "json_schema.schema"),
        ({"max_completion_tokens": 128_001}, "max_completion_tokens is too large: 128001"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "maximum length 4, but got an array with length 5"),
        ({"stop": [1]}, "Invalid type for 'stop'"),
        ({"logprobs": True}, "Unsupported parameter: 'logprobs'"),
        ({"top_logprobs": 2}, "Unsupported parameter: 'top_logprobs'"),
        ({"functions": [{"name": "f"}]}, "Unsupported parameter: 'functions'"),
        ({"modalities": ["audio"]}, "'modalities' must be"),
        ({"reasoning_effort": "huge"}, "Invalid value: 'huge'"),
        ({"verbosity": 3}, "Invalid type for 'verbosity'"),
        ({"service_tier": "slow"}, "Invalid value: 'slow'"),
        ({"metadata": {"a": 1}}, "Invalid type for 'metadata.a'"),
        ({"metadata": {"a": "x" * 513}}, "maximum length 512"),
        ({"metadata": {str(n): "" for n in range(17)}}, "at most 16, but got 17"),
        ({"prompt_cache_options": {"ttl": "1y"}}, "Invalid value: '1y'"),
        ({"prompt_cache_retention": "1y"}, "Invalid value: '1y'"),
        ({"parallel_tool_calls": False}, "only allowed when 'tools' are specified"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "Unsupported parameter: 'tools[0]'"),
        ({"tools": [FUNCTION] * 129}, "maximum length 128, but got an array with length 129"),
        (
            {
                "tools": [FUNCTION],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
                },
            },
            "'g' not found",
        ),
    ],
)
def test_openai_chat_refuses(client: httpx2.Client, changes: dict[str, Any], words: str) -> None:
    assert words in openai_error(chat(client, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [USER, ASKED, TOLD], "tools": [FUNCTION], "tool_choice": "required"},
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}, USER]},
        {"messages": [USER, {"role": "assistant", "refusal": "no"}, USER]},
        {"temperature": 0, "seed": 1, "n": 1, "stop": ["END"], "max_completion_tokens": 5},
        {"reasoning_effort": "low", "verbosity": "high", "metadata": {"team": "x"}, "store": True},
        {"prompt_cache_key": "k", "prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
        {"tools": [FUNCTION], "parallel_tool_calls": False},
        {
            "tools": [FUNCTION],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        },
    ],
)
def test_openai_chat_accepts(client: httpx2.Client, changes: dict[str, Any]) -> None:
    assert chat(client, **changes).status_code == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": MISSING}, "you must provide a model parameter"),
        ({"input": MISSING}, "Missing required parameter: 'input'"),
        ({"input": ""}, "cannot be an empty string"),
        ({"input": ["x", ""]}, "cannot be an empty string"),
        ({"input": []}, "cannot be an empty array"),
        ({"input": ["x"] * 2049}, "maximum length 2048, but got an array with length 2049"),
        ({"input": "x" * (8192 * 4 + 1)}, "maximum context length is 8192 tokens"),
        ({"input": [1, 2, 3]}, "arrays of tokens are not accepted"),
        ({"input": [[1, 2], [3]]}, "arrays of tokens are not accepted"),
        ({"input": [None]}, "expected strings, but got null"),
        ({"dimensions": 100}, "can be shortened to 64, 128, 256"),
        ({"dimensions": 256, "model": "meridian-embed-2-mini"}, "can be shortened to 64, 128"),
        ({"dimensions": "64"}, "can be shortened to"),
        ({"encoding_format": "hex"}, "Invalid value: 'hex'"),
        ({"truncate": True}, "Unknown parameter: 'truncate'"),
    ],
)
def test_openai_embeddings_refuse(client: httpx2.Client, changes: dict[str, Any], words: str) -> None:
    assert words in openai_error(embeddings(client, **changes))


def test_an_unknown_embedding_model_is_not_found(client: httpx2.Client) -> None:
    response = embeddings(client, model="text-embedding-3-small")
    assert "does not exist" in openai_error(response, 404)
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(client: httpx2.Client, body: bytes) -> None:
    claude_error(client.post("/v1/messages", content=body, headers=CLAUDE))
    openai_error(client.post("/v1/chat/completions", content=body, headers=BEARER))
    openai_error(client.post("/v1/embeddings", content=body, headers=BEARER))


def test_a_packed_body_is_refused(client: httpx2.Client) -> None:
    packed = {"content-encoding": "gzip"}
    assert "content-encoding" in claude_error(client.post("/v1/messages", content=b"x", headers={**CLAUDE, **packed}))


def test_a_body_over_eight_mebibytes_is_refused(client: httpx2.Client) -> None:
    body = b"x" * (8 * 1024 * 1024 + 1)
    claude_error(client.post("/v1/messages", content=body, headers=CLAUDE), 413, "request_too_large")
    openai_error(client.post("/v1/chat/completions", content=body, headers=BEARER), 413)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer"}, {"authorization": "Basic k"}])
def test_a_request_without_a_key_is_refused(client: httpx2.Client, headers: dict[str, str]) -> None:
    version = {"anthropic-version": "2026-10-21"}
    claude_error(client.post("/v1/messages", json={}, headers={**version, **headers}), 401, "authentication_error")
    claude_error(client.get("/v1/models", headers={**version, **headers}), 401, "authentication_error")
    openai_error(client.post("/v1/chat/completions", json={}, headers=headers), 401)
    openai_error(client.get("/v1/models", headers=headers), 401)


def test_anthropic_takes_an_x_api_key_and_wants_a_version(client: httpx2.Client) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [USER]}
    key = {"x-api-key": "k"}
    assert client.post("/v1/messages", json=body, headers={**key, "anthropic-version": "1"}).status_code == 200
    assert "anthropic-version" in claude_error(client.post("/v1/messages", json=body, headers=key))


def test_an_unknown_path_is_not_found_and_written_down(double: ModelDouble, client: httpx2.Client) -> None:
    words = openai_error(client.post("/v1/completions", json={"input": "canary"}, headers=BEARER), 404)
    assert "POST /v1/chat/completions" in words
    claude_error(client.post("/v1/messages/none", json={}, headers=CLAUDE), 404, "not_found_error")
    seen = double.journal.since()[-2]
    assert (seen.request.wire, seen.status, seen.request.body) == ("unknown", 404, {"input": "canary"})


def test_a_wrong_method_is_not_allowed(client: httpx2.Client) -> None:
    assert "use POST" in claude_error(client.get("/v1/messages", headers=CLAUDE), 405)
    assert "use POST" in openai_error(client.put("/v1/embeddings", json={}, headers=BEARER), 405)
    assert "use GET" in openai_error(client.post("/v1/models", json={}, headers=BEARER), 405)


def test_a_refused_request_is_in_the_journal_with_what_could_be_read(
    double: ModelDouble, client: httpx2.Client
) -> None:
    messages(client, max_tokens="9", messages=[{"role": "user", "content": "canary-1"}])
    client.post("/v1/chat/completions", content=b"not json: canary-2", headers=BEARER)
    first, second = double.journal.since()[-2:]
    assert (first.status, first.step, first.request.text) == (400, "rejected", "\ncanary-1")
    assert "canary-2" in second.request.text
    assert double.unmatched == ()


def test_a_client_that_waits_for_100_continue_is_told_to_go_on(client: httpx2.Client) -> None:
    response = client.post(
        "/v1/chat/completions", json={"model": "m", "messages": [USER]}, headers={**BEARER, "expect": "100-continue"}
    )
    assert response.status_code == 200
