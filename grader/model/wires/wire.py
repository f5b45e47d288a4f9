"""What a vendor's wire format must be able to do for the server, and the little that all of them share."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from grader.model.embeddings import Embedder
from grader.model.journal import Block, Message, Request, Tool, ToolChoice, WireName, tokens_of
from grader.model.script import Refuse, Reply, Step, Stop, ToolCall, Turn

JsonObject = dict[str, Any]

REDACTED = "(redacted)"
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "proxy-authorization"})
# A long text is streamed in at most about this many pieces, a short one in pieces of this many characters.
MAX_PIECES = 100
MIN_PIECE = 12


class Rejection(Exception):  # noqa: N818  an answer with an error status, not a fault of a program of ours
    """The vendor would answer this request with an error."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code


@dataclass(frozen=True)
class Draft:
    """What a body says, read without complaint: whatever is missing or of the wrong type is left out."""

    model: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = None
    max_tokens: int | None = None
    stream: bool = False
    inputs: tuple[str, ...] = ()
    dimensions: int | None = None
    prefix: str = ""
    continues: str = ""  # id of the reply that it goes on from, when the request names one


@dataclass(frozen=True)
class Answer:
    """One reply on its way out: a plain body, or stream events, and the same in neutral words for the journal."""

    body: JsonObject | None = None
    plain: bytes = b""  # the body as bytes
    events: tuple[JsonObject, ...] = ()
    frames: tuple[bytes, ...] = ()  # the events as bytes of the stream
    reply_text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: Stop | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def reply_id(self) -> str:
        """The id that the reply gives itself, on whichever wire; "" where it has none."""
        first: JsonObject = self.body or next(iter(self.events), {})
        holder = first.get("message") or first.get("response") or first
        return text_of(holder.get("id")) if isinstance(holder, dict) else ""


class Vendor(ABC):
    """How a vendor writes errors, ids and rate limits, whatever the endpoint."""

    @abstractmethod
    def error(self, rejection: Rejection, request_id: str) -> JsonObject: ...

    @abstractmethod
    def headers(self, status: int, request_id: str) -> dict[str, str]: ...

    @abstractmethod
    def authenticate(self, headers: Mapping[str, str]) -> None:
        """Raises Rejection when the request brings no key; any key will do."""

    @abstractmethod
    def models(self, embedding_models: Mapping[str, int]) -> JsonObject: ...


class Wire(ABC):
    """One endpoint: reads a request into neutral words, judges it as the vendor would, renders the reply."""

    name: ClassVar[WireName]
    vendor: ClassVar[Vendor]

    def parse(self, raw: bytes, headers: Mapping[str, str], *, number: int, path: str, at: float) -> Request:
        """Reads what can be read; never fails, so that the journal holds bad requests too."""
        bare = unknown_request(raw, headers, number=number, path=path, at=at)
        draft = self.read(bare.body)
        if not bare.body:
            return replace(bare, wire=self.name)
        return replace(bare, wire=self.name, **{name: getattr(draft, name) for name in draft.__dataclass_fields__})

    @abstractmethod
    def read(self, body: Mapping[str, Any]) -> Draft: ...

    @abstractmethod
    def validate(self, body: JsonObject, headers: Mapping[str, str], embedder: Embedder) -> None:
        """Raises Rejection with the vendor's words when the vendor would refuse the request."""


class ChatWire(Wire):
    """An endpoint whose replies come from the script."""

    @abstractmethod
    def render(self, turn: Turn | Refuse, request: Request) -> Answer: ...

    @abstractmethod
    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer: ...


class ComputedWire(Wire):
    """An endpoint that answers by computing, without a script."""

    @abstractmethod
    def compute(self, request: Request, embedder: Embedder) -> Answer: ...


def unknown_request(raw: bytes, headers: Mapping[str, str], *, number: int, path: str, at: float) -> Request:
    """A request of no wire we speak; a body that is no JSON object is kept as text, for canaries hide anywhere."""
    safe = {name.lower(): REDACTED if name.lower() in SECRET_HEADERS else value for name, value in headers.items()}
    try:
        body = json_object(raw)
    except Rejection:
        text = raw.decode("utf-8", "replace")
        messages = (Message("unreadable", (Block("other", text=text),)),) if text else ()
        return Request(number, "unknown", path, messages=messages, headers=safe, at=at)
    return Request(number, "unknown", path, headers=safe, body=body, at=at)


def json_object(raw: bytes) -> JsonObject:
    """The body as a JSON object, or the reason why it is none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Rejection(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Rejection(f"The request body must be a JSON object, not {json_type(body)}.")
    return body


def json_type(value: object) -> str:
    """The name that JSON gives to a value's type."""
    names = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def is_whole(value: object) -> bool:
    """A JSON integer; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def objects(value: object) -> list[JsonObject]:
    """The objects of an array; nothing when it is no array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def canonical(value: object) -> str:
    """JSON without white space, keys in the order they were sent: a provider's cache compares bytes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: object) -> bytes:
    """The value as the bytes of JSON; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    return canonical(value).encode("utf-8", "replace")


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + uuid.uuid4().hex[:length]


def with_ids(turn: Turn, prefix: str) -> Turn:
    """The turn with an id on every tool call."""
    parts = [replace(p, id=p.id or new_id(prefix)) if isinstance(p, ToolCall) else p for p in turn.parts]
    return Turn(*parts, stop=turn.stop)


def as_turn(step: Step) -> Turn | Refuse:
    """A bare Reply or ToolCall is a turn of one."""
    match step:
        case Reply() | ToolCall():
            return Turn(step)
        case Turn() | Refuse():
            return step
        case _:
            raise TypeError(f"{type(step).__name__} is no reply of a model")


def output_tokens(turn: Turn | Refuse) -> int:
    """Tokens of text and of tool calls' names and arguments; never zero, as at the vendors'."""
    if isinstance(turn, Refuse):
        return max(1, tokens_of(len(turn.text)))
    calls = sum(len(call.name) + len(canonical(call.arguments)) for call in turn.tool_calls)
    return max(1, tokens_of(len(turn.text) + calls))


def pieces(text: str) -> Iterator[str]:
    """Cuts a text into the pieces that a stream delivers."""
    size = max(MIN_PIECE, -(-len(text) // MAX_PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]
