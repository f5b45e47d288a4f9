"""Anthropic's `POST /v1/messages/count_tokens`: how long a prompt is, without asking the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grader.model.journal import Request
from grader.model.memory import Memory
from grader.model.wires.anthropic_prompt import pieces_of, prompt_tokens
from grader.model.wires.anthropic_reading import draft_of
from grader.model.wires.anthropic_rules import check_prompt
from grader.model.wires.anthropic_thinking import Signer, judge_thinking
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import Answer, ComputedWire, Draft, JsonObject, json_answer

# anthropic.types.MessageCountTokensParams of SDK 2.12.
FIELDS = frozenset(
    {
        "cache_control",
        "messages",
        "model",
        "output_config",
        "speed",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)


class AnthropicTokens(ComputedWire):
    name = "anthropic-tokens"
    vendor = AnthropicVendor()
    reply_type = "anthropic.types:MessageTokensCount"

    def __init__(self, memory: Memory) -> None:
        self._signer = Signer(memory)

    def read(self, body: Mapping[str, Any]) -> Draft:
        return draft_of(body)

    def validate(self, body: JsonObject, request: Request) -> None:
        check_prompt(body, request.headers, needed=("model", "messages"), known=FIELDS, ours=lambda _: True)
        judge_thinking(self._signer, body, request.headers, request.account)

    def compute(self, request: Request) -> Answer:
        return json_answer({"input_tokens": prompt_tokens(pieces_of(request.body))})
