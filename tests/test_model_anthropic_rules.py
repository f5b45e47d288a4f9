"""What Anthropic would refuse of the options of a request is refused here, in words like its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from grader.model.script import Reply
from grader.model.server import ModelDouble

from .model_clients import strict_claude

SAID: list[Any] = [{"role": "user", "content": "Where is MFX-4471-B?"}]
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["id", "days"],
    "additionalProperties": False,
}
FORMAT: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def running() -> Iterator[ModelDouble]:
    with ModelDouble(validate_replies=True) as double:
        yield double


@pytest.fixture
def double(running: ModelDouble) -> ModelDouble:
    running.reset()
    return running


@pytest.fixture(scope="module")
def claude(running: ModelDouble) -> Iterator[anthropic.Anthropic]:
    with strict_claude(running) as client:
        yield client


def changed(**changes: Any) -> dict[str, Any]:
    return {**SCHEMA, **changes}


def tool(name: str = "find", **changes: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": SCHEMA, **changes}


FIND = [tool()]
MARK = {"type": "ephemeral"}


def text(**more: Any) -> dict[str, Any]:
    return {"type": "text", "text": "x", **more}


def said(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"max_tokens": 128_001, "stream": True},
            "max_tokens: 128001 > 128000, which is the maximum allowed number of",
        ),
        ({"max_tokens": 0, "stream": True}, "max_tokens: 0 cannot be used with `stream: true`"),
        ({"max_tokens": 0, "output_config": FORMAT}, "max_tokens: 0 cannot be used with `output_config.format`"),
        (
            {"max_tokens": 0, "tools": FIND, "tool_choice": {"type": "any"}},
            "max_tokens: 0 cannot be used with a tool_choice",
        ),
        ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": "2000"}}, "Input should be a valid integer"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 3000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": FIND, "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.5},
            "`temperature` may only be set to 1",
        ),
        (
            {"model": "claude-haiku-4-5-20251001", "thinking": {"type": "adaptive"}},
            "adaptive thinking is not supported",
        ),
        ({"model": "claude-opus-4-8", "thinking": {"type": "enabled"}}, '"thinking.type.enabled" is not supported'),
        ({"model": "claude-haiku-4-5", "max_tokens": 64_001, "stream": True}, "64001 > 64000"),
        ({"model": "claude-opus-4-5", "messages": said(text(text="x" * 800_004))}, "prompt is too long: 200001 tokens"),
        ({"model": "claude-opus-4-6", "messages": [*SAID, {"role": "assistant", "content": "y"}]}, "prefill"),
        ({"thinking": {"type": "hard"}}, "does not match any of"),
        ({"thinking": True}, "thinking: Input should be an object"),
        (
            {"model": "claude-opus-5-5", "thinking": {"type": "enabled", "budget_tokens": 1024}},
            '"thinking.type.enabled" is not supported',
        ),
        ({"model": "claude-opus-5-5", "thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported'),
        (
            {"messages": said(*[text(cache_control=MARK)] * 5)},
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        ({"messages": said(*[text(cache_control=MARK)] * 4, text()), "cache_control": MARK}, "Found 5."),
        (
            {"messages": said(text(cache_control=MARK), text(cache_control={**MARK, "ttl": "1h"}))},
            "messages.0.content.1.cache_control.ttl: a ttl='1h'",
        ),
        (
            {
                "system": [text(cache_control=MARK)],
                "tools": [tool(cache_control={**MARK, "ttl": "1h"})],
                "messages": said(text(cache_control={**MARK, "ttl": "1h"})),
            },
            "must not come after a ttl='5m'",
        ),
        (
            {"messages": said(text(cache_control={**MARK, "ttl": "1h"})), "cache_control": MARK},
            "Top-level cache_control has ttl='5m' but the target block",
        ),
        (
            {"messages": said(text(cache_control={"type": "forever"}))},
            "cache_control.type: Input should be 'ephemeral'",
        ),
        (
            {"messages": said(text(cache_control={**MARK, "ttl": "1d"}))},
            "cache_control.ttl: Input should be '5m' or '1h'",
        ),
        ({"messages": said(text(cache_control=True))}, "cache_control: Input should be an object"),
        (
            {"messages": [*SAID, {"role": "system", "content": "x"}, *SAID]},
            "messages.1: a `system` message must immediately follow",
        ),
        (
            {"messages": [{"role": "system", "content": "x"}, *SAID]},
            "messages.0: a `system` message must immediately follow",
        ),
        (
            {"messages": [*SAID, {"role": "assistant", "content": "The answer is "}]},
            "cannot end with trailing whitespace",
        ),
        ({"tools": [tool(type="function")]}, "tools.0: Input tag 'function' found using 'type' does not match"),
        ({"tools": [{"type": "function", "function": tool()}]}, "tools.0: Input tag 'function'"),
        ({"tools": [tool(parameters={})]}, "tools.0.custom.parameters: Extra inputs are not permitted"),
        ({"tools": [tool(description=7)]}, "tools.0.custom.description: Input should be a valid string"),
        (
            {"tools": [tool(input_schema={"type": "object", "anyOf": []})]},
            "does not support oneOf, allOf, or anyOf at the top level",
        ),
        (
            {"tools": [tool(input_schema={"type": "object", "properties": {"a": {"type": "strin"}}})]},
            "JSON schema is invalid. It must match JSON Schema draft 2020-12",
        ),
        (
            {"tools": [tool(strict=True, input_schema=changed(additionalProperties=True))]},
            "tools.0.custom.input_schema",
        ),
        ({"tools": [tool(f"t{n}", strict=True) for n in range(21)]}, "Too many strict tools (21)"),
        (
            {"tools": FIND, "tool_choice": {"type": "auto", "disable_parallel_tool_use": "yes"}},
            "Input should be a valid boolean",
        ),
        (
            {"tools": FIND, "tool_choice": {"type": "auto", "name": "find"}},
            "tool_choice.auto.name: Extra inputs are not permitted",
        ),
        (
            {"diagnostics": {"previous_message_id": 7}},
            "diagnostics.previous_message_id: Input should be a valid string",
        ),
    ],
)
def test_what_the_vendor_would_refuse_is_refused(
    double: ModelDouble, claude: anthropic.Anthropic, changes: dict[str, Any], words: str
) -> None:
    request = {"model": "any", "max_tokens": 2000, "messages": SAID, **changes}
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(
            **{name: value for name, value in request.items() if name != "temperature"},
            extra_body={"temperature": request["temperature"]} if "temperature" in request else None,
        )
    assert words in str(caught.value.api_message)
    assert (caught.value.type, double.journal.since()[-1].step) == ("invalid_request_error", "rejected")


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": said(*[text(cache_control=MARK)] * 4)},
        {"messages": said(*[text(cache_control=MARK)] * 3, text()), "cache_control": MARK},
        {"messages": said(text(cache_control=MARK)), "cache_control": MARK},
        {"messages": said(text(cache_control={**MARK, "ttl": "1h"}), text(cache_control=MARK))},
        {"thinking": {"type": "enabled", "budget_tokens": 1999}},
        {"thinking": {"type": "between_tools"}},
        {"model": "claude-haiku-4-5-20251001", "thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"model": "claude-opus-4-5", "messages": [*SAID, {"role": "assistant", "content": "y"}]},
        {"model": "claude-opus-5-5", "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
        {"max_tokens": 128_000, "stream": True},
        {"messages": [*SAID, {"role": "system", "content": "x"}]},
        {"messages": [*SAID, {"role": "system", "content": "x"}, {"role": "assistant", "content": "y"}, *SAID]},
        {"tools": [*FIND, {"type": "bash_20250124", "name": "bash"}], "tool_choice": {"type": "none"}},
        {"tools": [tool(strict=True), tool("other", input_examples=[{"id": "x"}], eager_input_streaming=True)]},
    ],
)
def test_what_the_vendor_takes_is_taken(
    double: ModelDouble, claude: anthropic.Anthropic, changes: dict[str, Any]
) -> None:
    double.script(Reply("fine"))
    reply = claude.messages.create(**{"model": "any", "max_tokens": 2000, "messages": SAID, **changes})
    if changes.get("stream"):
        list(reply)
    assert double.protocol_faults == ()
    assert double.leftover == ()
