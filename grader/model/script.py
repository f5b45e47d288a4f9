"""What the model does next, in words that belong to no vendor's wire format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from grader.model.journal import Request

Stop = Literal["end", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause", "context_window"]


class Gate(Protocol):
    """What a held reply waits for; a threading.Event is one."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True)
class Reply:
    """The model answers with text."""

    text: str
    stop: Stop = field(default="end", kw_only=True)


@dataclass(frozen=True)
class ToolCall:
    """The model calls a tool; without an id of yours the wire gives it one in the vendor's style."""

    name: str
    arguments: dict[str, Any]
    id: str | None = field(default=None, kw_only=True)
    # OpenAI's wires carry arguments as text, and a model may write something else than a JSON object: this.
    # Anthropic's carry an object: there it is `arguments`.
    written: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Thinking:
    """What the model thinks before it speaks; `redacted` hides it, as a provider's safety filter does."""

    text: str
    redacted: bool = field(default=False, kw_only=True)


Part = Reply | ToolCall | Thinking


@dataclass(frozen=True, init=False)
class Turn:
    """Thinking, text and tool calls in one reply; `stop` is found from the parts unless you say it."""

    parts: tuple[Part, ...]
    stop: Stop | None

    def __init__(self, *parts: Part, stop: Stop | None = None) -> None:
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "stop", stop)

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Reply))

    @property
    def thinking(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Thinking))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def ending(self) -> Stop:
        """Why the turn ended: as said, or a tool call, or what the last text says."""
        if self.stop is not None:
            return self.stop
        if self.tool_calls:
            return "tool_use"
        texts = [part.stop for part in self.parts if isinstance(part, Reply)]
        return texts[-1] if texts else "end"


@dataclass(frozen=True)
class Refuse:
    """The model declines, in the vendor's own way of saying so; `category` is Anthropic's, as `cyber` or `bio`."""

    text: str = "I can't help with that."
    category: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Fail:
    """The provider answers with an error status; `kind` is the vendor's error type, found from the status if None."""

    status: int
    kind: str | None = field(default=None, kw_only=True)
    message: str | None = field(default=None, kw_only=True)
    # The SDKs wait this long before they retry; their own back-off would cost a check half a second and more.
    retry_after_ms: int | None = field(default=10, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Garbage:
    """These bytes instead of a reply."""

    body: bytes
    content_type: str = field(default="application/json", kw_only=True)
    status: int = field(default=200, kw_only=True)


@dataclass(frozen=True)
class Disconnect:
    """The connection is closed before any byte of a reply."""


@dataclass(frozen=True)
class AsUsual:
    """What would have been answered without the fault: lets `fault` slow down or cut a real reply."""


@dataclass(frozen=True)
class Slow:
    """The step, so many seconds late."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Hold:
    """The step, once the gate is set; with `after_events` a stream stops there, and its beginning goes out before."""

    step: Step
    gate: Gate
    after_events: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Cut:
    """The step, dropped after so many stream events, or after half of a plain body.

    With an `error` the stream ends in the vendor's own error event instead; a plain reply becomes that error.
    """

    step: Step
    after_events: int = 3
    error: Fail | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Unfaithful:
    """A reply that no provider would give to this request, on purpose; without this, it is our fault.

    Text where a tool is forced, a tool that was not offered, JSON against the schema that was asked for.
    """

    step: Step


Step = (
    Reply | ToolCall | Thinking | Turn | Refuse | Fail | Garbage | Disconnect | AsUsual | Slow | Hold | Cut | Unfaithful
)
Responder = Callable[["Request"], Step]
When = Callable[["Request"], bool]


def step_name(step: Step) -> str:
    """Names a step for the journal: `Slow(Fail 529)`."""
    match step:
        case Unfaithful():
            return step_name(step.step)
        case Slow() | Hold() | Cut():
            return f"{type(step).__name__}({step_name(step.step)})"
        case Fail():
            return f"Fail {step.status}"
        case _:
            return type(step).__name__
