"""What the learner's program sent and what it got back, as records that belong to no vendor."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grader.model.attempts import Attempts
from grader.model.script import Stop, ToolCall

BlockKind = Literal["text", "tool_use", "tool_result", "thinking", "image", "other"]
WireName = Literal[
    "anthropic",
    "anthropic-tokens",
    "anthropic-batches",
    "anthropic-models",
    "openai-chat",
    "openai-responses",
    "openai-stored-responses",
    "openai-response-tokens",
    "openai-embeddings",
    "openai-models",
    "unknown",
]
# Those whose replies come from a script.
CHAT_WIRES: tuple[WireName, ...] = ("anthropic", "openai-chat", "openai-responses")
ToolChoice = None | Literal["auto", "any", "none"] | tuple[Literal["tool"], str]

CHARACTERS_PER_TOKEN = 4


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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

    @property
    def read(self) -> str:
        """What tokens are counted by: its text, or name and arguments of a tool call; not the model's own thinking."""
        if self.kind == "tool_use":
            return f"{self.name or ''}{_compact(self.arguments)}"
        return self.text if self.kind in ("text", "tool_result", "other") else ""


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
    strict: bool = False  # the provider promises arguments that satisfy the schema

    @property
    def read(self) -> str:
        """What tokens are counted by."""
        return f"{self.name}{self.description}{_compact(self.schema)}"


@dataclass(frozen=True)
class CacheMark:
    """Where a request asks for its prompt to be cached: everything before this place and the block at it.

    `place` is a path into the body (`tools.2`, `system.0`, `messages.4.content.1`), `tokens` the length of the prefix.
    """

    place: str
    ttl: str = "5m"
    tokens: int = 0


@dataclass(frozen=True)
class Request:
    """One request as it came in, valid or not.

    Attributes:
        number: counts arrivals.
        at: monotonic seconds of its arrival.
        messages: the whole conversation as the model reads it, even where the program sent only its newest part.
        prefix: JSON of system prompt and tools, as sent: what a provider can cache of equal prefixes.
        continues: id of the earlier reply that it goes on from (`previous_response_id`, a message thread), or "".
        params: the parts of the path that a route leaves open, by name.
        account: stands for the key, which is never kept.
        cache_marks: where it asks for its prompt to be cached.
        parallel_tools: whether it takes several tool calls in one reply.
        output_schema: the JSON schema that it wants the text of the reply to satisfy, or None.
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
    method: str = "POST"
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    cache_marks: tuple[CacheMark, ...] = ()
    parallel_tools: bool = True
    output_schema: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """Everything the model would read, for a search: system, messages, or the inputs of an embeddings request."""
        return "\n".join([self.system, *(message.text for message in self.messages), *self.inputs])

    @property
    def tokens(self) -> int:
        """The length of its text: system prompt and messages of a chat request, the inputs of an embeddings request."""
        if self.wire == "openai-embeddings":
            return sum(tokens_of(len(text)) for text in self.inputs)
        return tokens_of(len(self.system) + sum(len(message.text) for message in self.messages))


def prompt_tokens(tools: Iterable[Tool], messages: Iterable[Message], system: str = "") -> int:
    """All that a model reads of a prompt, in tokens: what `usage` counts on every wire."""
    blocks = sum(len(block.read) for message in messages for block in message.blocks)
    return tokens_of(len(system) + sum(len(tool.read) for tool in tools) + blocks)


@dataclass(frozen=True)
class Exchange:
    """One request and how it ended.

    Attributes:
        error: why no reply of the model's came, or None.
        conversation: name of the scripted conversation whose turn it is, or "".
        label: name of the check that ran when the request arrived, or "".
        attempt: 2 when the same state of the conversation had just failed once, and so on.
        seconds: from the first byte of the request's headers to the end; `first_byte_seconds` to the reply's start.
        cost_usd: at the price of the family `priced_as` in prices.toml.
        input_tokens: those neither read from the prompt cache nor written to it.
        cache_write_tokens: those written to it; `cache_write_1h_tokens` of them are kept for an hour.
        reasoning_tokens: the part of `output_tokens` spent on thinking.
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
    thinking: str = ""
    reply_id: str = ""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    label: str = ""
    attempt: int = 1
    first_byte_seconds: float | None = None
    cost_usd: float = 0.0
    priced_as: str = ""

    @property
    def failed(self) -> bool:
        """Whether the program did not get what it asked for, whosever fault that was."""
        return self.error is not None or self.closed_early or self.status >= 400


class JournalFull(Exception):  # noqa: N818  an answer to the program, not a fault of ours
    """A run keeps no more than so much: the program sent too many requests, or too large ones."""


class Journal:
    """Every request in order of arrival; safe to read from any thread while requests come in.

    It is bounded: `arrived` raises JournalFull when it holds `most_requests` or `most_bytes` of bodies.
    """

    def __init__(self, *, most_requests: int = 50_000, most_bytes: int = 128 * 1024 * 1024) -> None:
        self._lock = threading.Lock()
        self._written = threading.Condition(self._lock)
        self._requests: list[Request] = []
        self._exchanges: dict[int, Exchange] = {}
        self._attempts = Attempts()
        self._most_requests = most_requests
        self._bytes_left = most_bytes
        self._most_bytes = most_bytes
        self._turned_away = 0
        self._listeners: list[Listener] = []
        self._label = ""

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

    @property
    def turned_away(self) -> int:
        """Requests that came when the journal was full; they were refused and are not in it."""
        with self._lock:
            return self._turned_away

    def label(self, name: str) -> None:
        """What arrives from now on carries this label: the name of the check that runs."""
        with self._lock:
            self._label = name

    def listen(self, listener: Listener) -> None:
        """Tells the listener of each exchange when it has ended, on the server's thread: it must be quick."""
        with self._lock:
            self._listeners.append(listener)

    def next_number(self) -> int:
        """The number of the next arrival; the server's loop is the only writer."""
        return self.mark() + 1

    def arrived(self, request: Request, size: int = 0) -> Arrived:
        """Writes a request down; `size` is the length of its body in bytes.

        Raises:
            JournalFull: there is no room for it.
        """
        with self._lock:
            if len(self._requests) >= self._most_requests or size > self._bytes_left:
                self._turned_away += 1
                raise JournalFull(
                    f"The journal of this run is full: it holds {len(self._requests):,} requests (at most "
                    f"{self._most_requests:,}) with {self._most_bytes - self._bytes_left:,} bytes (at most "
                    f"{self._most_bytes:,})."
                )
            self._requests.append(request)
            self._bytes_left -= size
            return Arrived(self._attempts.number_of(request), self._label)

    def ended(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges[exchange.request.number] = exchange
            self._attempts.ended(exchange.request, failed=exchange.failed)
            self._written.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(exchange)

    def await_ended(self, number: int, seconds: float) -> bool:
        """Waits until the exchange of that number has ended, at most so long; whether it has."""
        with self._written:
            return self._written.wait_for(lambda: number in self._exchanges, seconds)


@dataclass(frozen=True)
class Arrived:
    """What the journal says of a request when it writes it down: which attempt it is, and the label of the time."""

    attempt: int
    label: str


Listener = Callable[[Exchange], None]
