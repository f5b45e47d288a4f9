"""What the model said, in words that belong to no vendor, and what became of its tool calls."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Step:
    """A stored reply with the results of its calls; None where a result is not known yet."""

    position: int
    wire: str
    reply: Reply
    results: tuple[Result | None, ...]

    @property
    def is_answered(self) -> bool:
        """Whether the model waits to read what became of its calls."""
        return bool(self.reply.calls) and not self.open_calls and self.reply.ending in ("end", "tools")

    @property
    def open_calls(self) -> list[int]:
        """Indexes of the calls without a result."""
        return [index for index, result in enumerate(self.results) if result is None]


@dataclass(frozen=True)
class Run:
    """One message and everything that was done for it so far."""

    conversation: str
    number: int
    message_id: str
    message: str
    outcome: dict[str, Any] | None = None
    steps: tuple[Step, ...] = field(default=())
