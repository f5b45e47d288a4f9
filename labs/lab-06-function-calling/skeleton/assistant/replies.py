"""What the model said, in words that belong to no vendor, and what became of its tool calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

# Why a reply ended: the model was done, it wants tools, it declined, or it was cut off.
Ending = Literal["end", "tools", "refused", "truncated"]


@dataclass(frozen=True)
class Call:
    """A tool call as the model wrote it; `arguments` is JSON text, which may be broken."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Result:
    """What the model is told about a call: JSON text, and the word of the error if it is one."""

    text: str
    error: str | None = None


@dataclass(frozen=True)
class Reply:
    """One whole reply. `native` is what the vendor's API wants to see again, unchanged."""

    text: str
    calls: tuple[Call, ...]
    ending: Ending
    tokens: int
    native: Any
