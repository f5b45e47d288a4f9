"""What the environment says, read once at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Budgets are per run; `tool_seconds` and `tool_chars` bound one tool call and the text of its result."""

    port: int
    database_url: str
    wire: str
    max_steps: int
    max_tokens: int
    max_seconds: float
    max_invalid: int
    max_identical: int
    tool_seconds: float
    tool_chars: int
    approval_seconds: float

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
        def number(name: str, default: float) -> float:
            return float(environment.get(name) or default)

        return Settings(
            port=int(environment["PORT"]),
            database_url=environment["DATABASE_URL"],
            wire=environment.get("MODEL_WIRE", "anthropic"),
            max_steps=int(number("MAX_STEPS", 8)),
            max_tokens=int(number("MAX_TOKENS", 20_000)),
            max_seconds=number("MAX_SECONDS", 30),
            max_invalid=int(number("MAX_INVALID", 3)),
            max_identical=int(number("MAX_IDENTICAL", 3)),
            tool_seconds=number("TOOL_SECONDS", 5),
            tool_chars=int(number("TOOL_CHARS", 8_000)),
            approval_seconds=number("APPROVAL_SECONDS", 600),
        )
