"""Responses that the double keeps: for `previous_response_id`, for a look at them later, for work in the background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from grader.model.memory import Clock, Memory
from grader.model.script import Gate
from grader.model.wires.openai_response_events import as_begun, opening, writing
from grader.model.wires.wire import Answer, JsonObject, Rejection, encoded


@dataclass(frozen=True)
class Moment:
    """A gate that the double's clock opens."""

    clock: Clock
    at: float

    def is_set(self) -> bool:
        return self.clock.now() >= self.at


@dataclass(eq=False)
class Stored:
    """One response, as it will be once it is over; until the last of its gates is open it is under way.

    Attributes:
        response: its final form.
        account: whose key made it.
        before: the items that came before this request's own, oldest first.
        items: this request's own items.
    """

    response: JsonObject
    account: str
    before: tuple[JsonObject, ...]
    items: tuple[JsonObject, ...]
    gates: list[Gate] = field(default_factory=list)
    cancelled: bool = False

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def context(self) -> tuple[JsonObject, ...]:
        """All that the model has read and said when this response is over."""
        return (*self.before, *self.items, *self.response["output"])

    def is_over(self) -> bool:
        """Looks at the first gate that was not yet seen open, and at the next ones only if it is."""
        while self.gates and not self.cancelled and self.gates[0].is_set():
            self.gates.pop(0)
        return self.cancelled or not self.gates

    def is_set(self) -> bool:
        """A stored response is itself a gate, for streams of it."""
        return self.is_over()

    def as_is(self) -> JsonObject:
        """The response as it is now."""
        if not self.is_over():
            return as_begun(self.response, "in_progress")
        return as_begun(self.response, "cancelled") if self.cancelled else self.response

    def cancel(self) -> JsonObject:
        """Ends it if it is not over."""
        if not self.is_over():
            self.cancelled = True
        return self.as_is()

    def stream(self, after: int = -1) -> Answer:
        """Its events after the one of that number; those of the reply once it is over, none if it was cancelled."""
        begun = opening(self.response)
        rest = writing(self.response, len(begun))
        events = tuple(event for event in (*begun, *rest) if event["sequence_number"] > after)
        first = tuple(frames_of(event for event in begun if event["sequence_number"] > after))
        later = tuple(frames_of(event for event in rest if event["sequence_number"] > after))
        if self.is_over():
            return Answer(events=events, frames=first if self.cancelled else (*first, *later))
        # Without a frame nothing could be sent before the wait: a comment keeps the connection as the vendor's does.
        frames = first or (b": waiting\n\n",)
        return Answer(events=events, frames=frames, waits=(self,), rest=lambda: () if self.cancelled else later)


def frames_of(events: Iterator[JsonObject]) -> Iterator[bytes]:
    return (f"event: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n" for event in events)


class ResponseStore:
    """All responses of one double; each is there only for the key that made it."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._responses = memory.shelf()
        self._items = memory.shelf(most=20_000)

    def put(self, stored: Stored) -> None:
        kept = (*stored.items, *stored.response["output"])
        self._responses.put(stored.id, stored, size=len(encoded([stored.response, stored.items])))
        for item in kept:
            self._items.put(f"{stored.account} {item['id']}", item, size=len(encoded(item)))

    def find(self, response_id: str, account: str) -> Stored | None:
        stored: Stored | None = self._responses.get(response_id)
        return stored if stored is not None and stored.account == account else None

    def get(self, response_id: str, account: str) -> Stored:
        stored = self.find(response_id, account)
        if stored is None:
            raise Rejection(f"Response with id '{response_id}' not found.", status=404)
        return stored

    def delete(self, response_id: str, account: str) -> None:
        stored = self.get(response_id, account)
        self._responses.pop(stored.id)
        for item in (*stored.items, *stored.response["output"]):
            self._items.pop(f"{account} {item['id']}")

    def previous(self, response_id: str, account: str) -> Stored:
        """The response that a request goes on from."""
        stored = self.find(response_id, account)
        if stored is None:
            raise Rejection(
                f"Previous response with id '{response_id}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        if not stored.is_over() or stored.response["status"] == "failed" or stored.cancelled:
            status = stored.as_is()["status"]
            message = f"Previous response with id '{response_id}' cannot be continued: its status is '{status}'."
            raise Rejection(message, param="previous_response_id")
        return stored

    def item(self, item_id: str, account: str) -> JsonObject:
        item: JsonObject | None = self._items.get(f"{account} {item_id}")
        if item is None:
            raise Rejection(
                f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. Try again "
                "with `store` set to true, or remove this item from your input.",
                status=404,
                param="input",
            )
        return item
