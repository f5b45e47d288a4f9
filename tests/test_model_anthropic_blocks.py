"""Content blocks and options are held to the params of the official SDK: what it has passes, anything else is named."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import pytest
import typing_extensions
from anthropic import types
from anthropic.types import beta
from anthropic.types.beta.beta_tool_result_block_param import Content as BetaResultContent
from anthropic.types.beta.message_create_params import MessageCreateParamsBase as BetaParams
from anthropic.types.tool_result_block_param import Content as ResultContent

from grader.model import Reply
from grader.model.server import ModelDouble
from grader.model.wires.anthropic_blocks import NEEDED, OPTIONAL, UNREAD
from grader.model.wires.anthropic_rules import BETA_FIELDS, FIELDS, NOT_PLAYED

from .model_clients import strict_claude

HELLO: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def claude() -> Iterator[anthropic.Anthropic]:
    with ModelDouble() as double, strict_claude(double) as client:
        double.respond(lambda _: Reply("fine"))
        yield client


def params_of(union: Any) -> Iterator[type]:
    """The TypedDicts of a union of the SDK's, however it nests them."""
    if typing_extensions.is_typeddict(union):
        yield union
    for part in typing.get_args(union):
        yield from params_of(part)


def params() -> dict[str, type]:
    """The params of every content block, by type."""
    unions = (types.ContentBlockParam, beta.BetaContentBlockParam, ResultContent, BetaResultContent)
    found = [one for union in unions for one in params_of(union)]
    return {tag: one for one in found for tag in typing.get_args(typing.get_type_hints(one)["type"])}


def test_blocks_have_the_types_and_fields_of_the_sdk() -> None:
    known: Mapping[str, type] = params()
    assert set(known) == set(NEEDED) | UNREAD
    for kind, needed in NEEDED.items():
        refused_elsewhere = {"cache_control"} if "thinking" in kind else set()
        assert {"type", *needed, *OPTIONAL[kind]} - refused_elsewhere == set(typing.get_type_hints(known[kind]))


def test_every_field_of_the_sdk_is_played_or_said_not_to_be() -> None:
    sent_as_headers = {"user_profile_id", "workspace_id", "betas"}
    assert set(typing.get_type_hints(BetaParams)) - sent_as_headers - FIELDS - BETA_FIELDS == NOT_PLAYED


@pytest.mark.parametrize("name", sorted(NOT_PLAYED))
def test_what_is_not_played_is_not_called_unknown(claude: anthropic.Anthropic, name: str) -> None:
    more: Any = {name: {}}
    with pytest.raises(anthropic.BadRequestError, match=f"{name}: .*does not play it"):
        claude.beta.messages.create(model="m", max_tokens=9, messages=HELLO, betas=["some-beta"], extra_body=more)
    with pytest.raises(anthropic.BadRequestError, match=f"{name}: Extra inputs are not permitted"):
        claude.messages.create(model="m", max_tokens=9, messages=HELLO, extra_body=more)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "text", "text": "x", "foo": 1}, r"messages\.0\.content\.0\.text\.foo: Extra inputs"),
        ({"type": "input_text", "text": "x"}, r"Input tag 'input_text' found using 'type' does not match"),
        ({"type": "image_url", "image_url": {"url": "x"}}, r"Input tag 'image_url'"),
    ],
)
def test_a_block_of_another_form_is_refused(claude: anthropic.Anthropic, block: Any, words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": [block]}])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"stop_sequences": ["\n"]}, "each stop sequence must contain non-whitespace"),
        ({"service_tier": "flex"}, "service_tier: Input should be 'auto'"),
        ({"speed": "slow"}, "speed: Input should be 'fast'"),
        ({"top_k": "5"}, "top_k: Input should be a valid integer"),
        ({"metadata": "me"}, "metadata: Input should be an object"),
    ],
)
def test_a_mistyped_option_is_refused(claude: anthropic.Anthropic, option: Any, words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words):
        claude.messages.create(model="m", max_tokens=9, messages=HELLO, extra_body=option)


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "tool_search_tool_bm25", "name": "tool_search_tool_bm25"}],
        [{"type": "computer_toolset_20260801"}, {"type": "browser_toolset_20260801"}],
        [{"type": "mcp_toolset", "mcp_server_name": "a"}, {"type": "mcp_toolset", "mcp_server_name": "b"}],
        [
            {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
            {"name": "f", "input_schema": {"type": "object"}},
        ],
    ],
)
def test_tools_of_the_vendor_are_taken(claude: anthropic.Anthropic, tools: Any) -> None:
    choice: Any = {"type": "auto"}
    said = claude.messages.create(model="m", max_tokens=9, messages=HELLO, tools=tools, tool_choice=choice)
    assert said.stop_reason == "end_turn"


def test_parsed_output_goes_back_as_the_sdk_sends_it(claude: anthropic.Anthropic) -> None:
    block = types.ParsedTextBlock[dict[str, int]](type="text", text="{}", parsed_output={"a": 1}, citations=None)
    back: Any = [*HELLO, {"role": "assistant", "content": [block]}, *HELLO]
    assert claude.messages.create(model="m", max_tokens=9, messages=back).stop_reason == "end_turn"
