"""What a vendor's wire format must be able to do for the server, and the little that all of them share."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from grader.model.bounds import DEEPEST, is_too_deep
from grader.model.journal import Block, CacheMark, Message, Request, Tool, ToolChoice, WireName, tokens_of
from grader.model.script import Gate, Refuse, Reply, Step, Stop, Thinking, ToolCall, Turn

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
        details: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.details = details


def require(holds: object, message: str) -> None:
    """Refuses the request with these words unless that holds."""
    if not holds:
        raise Rejection(message)


@dataclass(frozen=True)
class Arrival:
    """One HTTP request as the server got it; `headers` by lower-case name, keys among them."""

    number: int
    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    at: float
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    account: str = ""


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
    cache_marks: tuple[CacheMark, ...] = ()
    parallel_tools: bool = True
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """One reply on its way out: a plain body, or stream events, and the same in neutral words for the journal.

    `lines` are the objects of a body of JSON lines. `keep` is for the wire alone: it gets it back in `settle`.
    A stream with a `rest` sends its frames, waits for `waits`, and sends what `rest` then gives.
    """

    body: JsonObject | None = None
    plain: bytes = b""  # the body as bytes
    content_type: str = "application/json"
    lines: tuple[JsonObject, ...] = ()
    events: tuple[JsonObject, ...] = ()
    frames: tuple[bytes, ...] = ()  # the events as bytes of the stream
    reply_text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: Stop | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    waits: tuple[Gate, ...] = ()
    rest: Callable[[], tuple[bytes, ...]] | None = None
    reply_type: str = ""  # where it is not that of the wire
    event_type: str = ""
    keep: Any = None

    @property
    def all_input_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

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


class Wire(ABC):
    """One endpoint: reads a request into neutral words, judges it as the vendor would, makes the reply.

    Each double has wires of its own: a wire may keep what it remembers on shelves of the double's `Memory`.
    All methods but a slow `compute` run on the server's loop, one at a time.
    """

    name: ClassVar[WireName]
    vendor: ClassVar[Vendor]
    # SDK types that our replies must fit, as `module:name`, with `[other]` for a generic one; looked up by conformance.
    reply_type: ClassVar[str] = ""
    event_type: ClassVar[str] = ""
    takes_body: ClassVar[bool] = True  # without: whatever comes is read as an empty object
    in_journal: ClassVar[bool] = True  # without: the endpoint carries nothing of the program's

    def parse(self, arrival: Arrival) -> Request:
        """Reads what can be read; never fails, so that the journal holds bad requests too."""
        bare = replace(unknown_request(arrival), wire=self.name)
        if not bare.body:
            return bare
        draft = self.read(bare.body)
        return replace(bare, **{name: getattr(draft, name) for name in draft.__dataclass_fields__})

    def read(self, body: Mapping[str, Any]) -> Draft:  # noqa: ARG002  an endpoint may have nothing to read
        return Draft()

    def whole(self, request: Request) -> Request:
        """The request with what the endpoint keeps of the conversation, where the program sent only what is new."""
        return request

    @abstractmethod
    def validate(self, body: JsonObject, request: Request) -> None:
        """Raises Rejection with the vendor's words when the vendor would refuse the request."""

    def settle(self, request: Request, answer: Answer | None) -> None:  # noqa: B027  most wires remember nothing
        """The exchange is over: the answer when the model gave one, cut off or not; None when it did not.

        Called once for each request, just before the program can see the end of its answer.
        """


class ChatWire(Wire):
    """An endpoint whose replies come from the script."""

    def unscripted(self, request: Request) -> Turn | None:  # noqa: ARG002  most wires ask the model for every reply
        """The reply to a request that asks nothing of the model, and so takes no step of the script; else None."""
        return None

    @abstractmethod
    def render(self, turn: Turn | Refuse, request: Request) -> Answer: ...

    @abstractmethod
    def render_stream(self, turn: Turn | Refuse, request: Request) -> Answer: ...

    def defer(
        self,
        request: Request,  # noqa: ARG002  most wires keep the program waiting
        answer: Answer | None,  # noqa: ARG002
        step: Step,  # noqa: ARG002
        waits: tuple[float | Gate, ...],  # noqa: ARG002
    ) -> Answer | None:
        """What to answer at once where the program is not to wait for the reply; None: it waits, then gets `answer`.

        `answer` is None for a step that is no reply; who defers looks at `waits` from now on.
        """
        return None

    @abstractmethod
    def error_frame(self, rejection: Rejection, request_id: str, sent: int) -> bytes:
        """The event that ends a stream with an error, after `sent` events."""


class ComputedWire(Wire):
    """An endpoint that answers by computing, without a script."""

    slow: ClassVar[bool] = False  # computed in a thread of its own, so that no other request waits for it

    @abstractmethod
    def compute(self, request: Request) -> Answer:
        """The answer; raises Rejection when what the request names is not there."""


def unknown_request(arrival: Arrival) -> Request:
    """A request of no wire we speak; a body that is no JSON object is kept as text, for canaries hide anywhere."""
    safe = {name: REDACTED if name in SECRET_HEADERS else value for name, value in arrival.headers.items()}
    bare = Request(
        arrival.number,
        "unknown",
        arrival.path,
        headers=safe,
        at=arrival.at,
        method=arrival.method,
        params=arrival.params,
        query=arrival.query,
        account=arrival.account,
    )
    try:
        return replace(bare, body=json_object(arrival.raw))
    except Rejection:
        text = arrival.raw.decode("utf-8", "replace")
        return replace(bare, messages=(Message("unreadable", (Block("other", text=text),)),) if text else ())


def json_object(raw: bytes) -> JsonObject:
    """The body as a JSON object, or the reason why it is none."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Rejection(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise Rejection(f"The request body must be a JSON object, not {json_type(body)}.")
    if is_too_deep(raw, body):
        raise Rejection(f"The request body is nested more than {DEEPEST} levels deep.")
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


def json_answer(body: JsonObject) -> Answer:
    """An answer that is one JSON object."""
    return Answer(body=body, plain=encoded(body))


def encoded(value: object) -> bytes:
    """The value as the bytes of JSON; half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    return canonical(value).encode("utf-8", "replace")


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + uuid.uuid4().hex[:length]


def with_ids(turn: Turn, prefix: str) -> Turn:
    """The turn with an id on every tool call."""
    parts = [replace(p, id=p.id or new_id(prefix)) if isinstance(p, ToolCall) else p for p in turn.parts]
    return Turn(*parts, stop=turn.stop)


def written(call: ToolCall) -> str:
    """The arguments as the model writes them."""
    return canonical(call.arguments) if call.written is None else call.written


def as_turn(step: Step) -> Turn | Refuse:
    """A bare Reply or ToolCall is a turn of one."""
    match step:
        case Reply() | ToolCall() | Thinking():
            return Turn(step)
        case Turn() | Refuse():
            return step
        case _:
            raise TypeError(f"{type(step).__name__} is no reply of a model")


def output_tokens(turn: Turn | Refuse) -> int:
    """Tokens of text, thinking and tool calls' names and arguments; never zero, as at the vendors'."""
    if isinstance(turn, Refuse):
        return max(1, tokens_of(len(turn.text)))
    calls = sum(len(call.name) + len(written(call)) for call in turn.tool_calls)
    return max(1, tokens_of(len(turn.text) + calls)) + reasoning_tokens(turn)


def reasoning_tokens(turn: Turn | Refuse) -> int:
    """Tokens of the thinking in a reply, which output tokens include."""
    return 0 if isinstance(turn, Refuse) else tokens_of(len(turn.thinking))


def pieces(text: str) -> Iterator[str]:
    """Cuts a text into the pieces that a stream delivers."""
    size = max(MIN_PIECE, -(-len(text) // MAX_PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]
