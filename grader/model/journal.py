"""What the learner's program sent and what it got back, as records that belong to no vendor."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grader.model.script import Stop, ToolCall

BlockKind = Literal["text", "tool_use", "tool_result", "thinking", "image", "other"]
WireName = Literal["anthropic", "openai-chat", "openai-embeddings", "unknown"]
ToolChoice = None | Literal["auto", "any", "none"] | tuple[Literal["tool"], str]

CHARACTERS_PER_TOKEN = 4


def tokens_of(characters: int) -> int:
    """One token is four characters, rounded up once: what the briefs promise."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN)


@dataclass(frozen=True)
class Block:
    """One piece of a message; `text` is set for everything the model would read as text."""

    kind: BlockKind
    text: str = ""
    id: str | None = None
    name: str | None = None
    arguments: dict[str, Any] | None = None
    raw: Any = None


@dataclass(frozen=True)
class Message:
    role: str
    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """What the model reads as text: not its own thinking, not the arguments of tool calls."""
        return "".join(block.text for block in self.blocks if block.kind in ("text", "tool_result", "other"))


@dataclass(frozen=True)
class Tool:
    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """One request as it came in, valid or not.

    Attributes:
        number: counts arrivals.
        at: monotonic seconds of its arrival.
        prefix: JSON of system prompt and tools, as sent: what a provider can cache of equal prefixes.
        continues: id of the earlier reply that it goes on from (`previous_response_id`, a message thread), or "".
    """

    number: int
    wire: WireName
    path: str
    model: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = None
    max_tokens: int | None = None
    stream: bool = False
    inputs: tuple[str, ...] = ()
    dimensions: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    at: float = 0.0
    prefix: str = ""
    continues: str = ""

    @property
    def text(self) -> str:
        """Everything the model would read, for a search: system, messages, or the inputs of an embeddings request."""
        return "\n".join([self.system, *(message.text for message in self.messages), *self.inputs])

    @property
    def tokens(self) -> int:
        """Input tokens: system and message text of a chat request, the inputs of an embeddings request."""
        if self.wire == "openai-embeddings":
            return sum(tokens_of(len(text)) for text in self.inputs)
        return tokens_of(len(self.system) + sum(len(message.text) for message in self.messages))


@dataclass(frozen=True)
class Exchange:
    """One request and how it ended.

    Attributes:
        error: why no reply of the model's came, or None.
        conversation: name of the scripted conversation whose turn it is, or "".
    """

    request: Request
    status: int
    step: str
    reply_text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: Stop | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    closed_early: bool = False
    error: str | None = None
    conversation: str = ""


class Journal:
    """Every request in order of arrival; safe to read from any thread while requests come in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._requests: list[Request] = []
        self._exchanges: dict[int, Exchange] = {}

    def mark(self) -> int:
        """Stands for now: what arrives later has a number above it."""
        with self._lock:
            return len(self._requests)

    def since(self, mark: int = 0) -> tuple[Exchange, ...]:
        """Exchanges that have ended, of requests that arrived after the mark, in order of arrival."""
        with self._lock:
            return tuple(self._exchanges[n] for n in sorted(self._exchanges) if n > mark)

    def requests(self, mark: int = 0, wire: WireName | None = None) -> tuple[Request, ...]:
        """Requests that arrived after the mark, those not yet answered and those refused too."""
        with self._lock:
            arrived = self._requests[mark:]
        return tuple(request for request in arrived if wire is None or request.wire == wire)

    def next_number(self) -> int:
        """The number of the next arrival; the server's loop is the only writer."""
        return self.mark() + 1

    def arrived(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def ended(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges[exchange.request.number] = exchange
            self._written.notify_all()

    def await_ended(self, number: int, seconds: float) -> bool:
        """Waits until the exchange of that number has ended, at most so long; whether it has."""
        with self._written:
            return self._written.wait_for(lambda: number in self._exchanges, seconds)


def to_json(exchanges: tuple[Exchange, ...]) -> str:
    """One ASCII JSON object a line, for the file that `grader wire` reads: a lone surrogate must not break the file."""
    return "".join(json.dumps(_plain(exchange)) + "\n" for exchange in exchanges)


def from_json(text: str) -> tuple[Exchange, ...]:
    """The exchanges that `to_json` wrote."""
    return tuple(_exchange(json.loads(line)) for line in text.splitlines() if line.strip())


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _exchange(record: dict[str, Any]) -> Exchange:
    calls = tuple(ToolCall(call["name"], call["arguments"], id=call["id"]) for call in record["tool_calls"])
    return Exchange(**{**record, "request": _request(record["request"]), "tool_calls": calls})


def _request(record: dict[str, Any]) -> Request:
    choice = record["tool_choice"]
    return Request(
        **{
            **record,
            "messages": tuple(
                Message(message["role"], tuple(Block(**block) for block in message["blocks"]))
                for message in record["messages"]
            ),
            "tools": tuple(Tool(**tool) for tool in record["tools"]),
            "tool_choice": ("tool", choice[1]) if isinstance(choice, list) else choice,
            "inputs": tuple(record["inputs"]),
        }
    )
