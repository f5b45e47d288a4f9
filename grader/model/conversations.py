"""Tells which conversation a request belongs to, however the turns of many of them interleave."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grader.model.journal import Message, Request
from grader.model.script import Cut, Disconnect, Fail, Garbage, Hold, Responder, Slow, Step, Unfaithful, When, step_name

SHOWN = 60  # characters of an opening that stand in a message


@dataclass(frozen=True)
class Leftover:
    """A step that nobody asked for; `of` names its conversation and how far that came, or is ""."""

    step: Step
    of: str = ""

    @property
    def sentence(self) -> str:
        return f"{step_name(self.step)}{f' of {self.of}' if self.of else ''} was never asked for"


@dataclass(frozen=True)
class Unmatched:
    """A request for which nothing was planned, and why nothing was."""

    request: Request
    why: str = "no step and no conversation of the script was for it"

    @property
    def sentence(self) -> str:
        return f"{self.why}: {self.request.text[-300:]!r}"


@dataclass(eq=False)
class Conversation:
    """Steps for one conversation of a program that may hold many at once; made by `ModelDouble.conversation`.

    Its first request is the one whose first user message holds `opens` (or that `opens` returns true for); later turns
    are known by what they carry: the id of an earlier reply (`previous_response_id`, a message thread), the id of a
    tool call, or the replies themselves. A request that carries none of it is told by its opening.
    Two conversations may open alike: whoever comes second takes the second one.
    """

    opens: str | When
    name: str
    _lock: threading.RLock
    _steps: deque[tuple[Step, When | None]] = field(default_factory=deque)
    _responder: Responder | None = None
    _requests: list[Request] = field(default_factory=list)
    _given: int = 0
    _ids: set[str] = field(default_factory=set)
    _history: list[tuple[str, ...]] = field(default_factory=list)
    _open_to_retry: bool = False

    # --- for checks -------------------------------------------------------------------------------------------------

    def script(self, *steps: Step, when: When | None = None) -> Conversation:
        """Queues steps: each request of this conversation takes the first whose `when` matches (None matches any)."""
        with self._lock:
            self._steps.extend((step, when) for step in steps)
        return self

    def respond(self, responder: Responder | None) -> Conversation:
        """Asks this for a step when no queued one matches."""
        with self._lock:
            self._responder = responder
        return self

    @property
    def requests(self) -> tuple[Request, ...]:
        """Its requests so far, in order of arrival, those that were answered with a fault too."""
        with self._lock:
            return tuple(self._requests)

    @property
    def leftover(self) -> tuple[Leftover, ...]:
        """Steps that nobody has asked for yet."""
        with self._lock:
            if not self._requests:
                so_far = f"{self.name} (which never began)"
            else:
                so_far = f"{self.name} (given {self._given} of its {self._given + len(self._steps)} steps)"
            return tuple(Leftover(step, so_far) for step, _ in self._steps)

    # --- for the playbook, which holds the lock ---------------------------------------------------------------------

    def take(self, request: Request) -> Step | None:
        """The next step, or None when there is none for this request."""
        self._requests.append(request)
        for index, (step, when) in enumerate(self._steps):
            if when is None or when(request):
                del self._steps[index]
                self._given += 1
                self._open_to_retry = is_retried(step)
                return step
        return self._responder(request) if self._responder else None

    def gave(self, request: Request, ids: Iterable[str], text: str) -> None:
        """A reply was made: who shows its ids or its words belongs here."""
        self._ids.update(name for name in ids if name)
        self._history.append((*_turns(request.messages), f"assistant:{text}"))

    def why_not(self) -> str:
        """Why `take` had nothing."""
        if self._steps:
            return f"{self.name} went on with a request that its next step, {step_name(self._steps[0][0])}, is not for"
        times = "once more" if self._given else "although it has no steps"
        return f"{self.name} had been given all of its {self._given} steps and asked {times}"

    def carried_by(self, request: Request) -> int:
        """How surely the request carries this conversation on.

        0: not at all; 1: some of its words; 2: the words of an earlier turn; 3: those of the latest; 4: ids.
        """
        if self._ids and not self._ids.isdisjoint(_ids_in(request)):
            return 4
        turns = _turns(request.messages)
        if fitting := [known for known in self._history if turns[: len(known)] == known]:
            return 3 if self._history[-1] in fitting else 2
        said = {known[-1] for known in self._history}
        opened = {known[0] for known in self._history}
        return 1 if said.intersection(turns) and turns[0] in opened else 0

    def gave_up(self) -> None:
        """The client hung up before the end of a reply: it may ask again."""
        self._open_to_retry = True

    def is_opened_by(self, request: Request) -> bool:
        if callable(self.opens):
            return bool(self.opens(request))
        return any(self.opens in message.text for message in _first_user(request.messages))

    def is_asked_again(self, request: Request) -> bool:
        """Whether this is its last request once more, after a step that clients retry."""
        return (
            self._open_to_retry
            and bool(self._requests)
            and _turns(self._requests[-1].messages) == _turns(request.messages)
        )

    @property
    def has_begun(self) -> bool:
        return bool(self._requests)

    @property
    def goes_on(self) -> bool:
        """Whether it has something left to say."""
        return bool(self._steps) or self._responder is not None


def conversation_of(conversations: Sequence[Conversation], request: Request) -> Conversation | None:
    """The conversation that a request belongs to, or None: by what it carries on, else by how it opens."""
    carried = [(one.carried_by(request), one.goes_on, -place) for place, one in enumerate(conversations)]
    if (best := max(carried, default=(0, False, 0)))[0] > 0:
        return conversations[-best[2]]
    opened = [one for one in conversations if one.is_opened_by(request)]
    # Most fitting first: asked again after a fault, not begun yet, begun and not at its end, at its end.
    ranks = [(not one.is_asked_again(request), one.has_begun, not one.goes_on) for one in opened]
    return opened[ranks.index(min(ranks))] if ranks else None


def is_retried(step: Step) -> bool:
    """Whether an SDK sends the same request again after this step."""
    match step:
        case Slow() | Hold() | Unfaithful():
            return is_retried(step.step)
        case _:
            return isinstance(step, (Fail, Garbage, Disconnect, Cut))


def opening_name(opens: str | When) -> str:
    """Names a conversation by its opening, for messages."""
    if callable(opens):
        return f"the conversation opened by {getattr(opens, '__name__', 'a matcher')}"
    return f"the conversation {opens[:SHOWN]!r}"


def _first_user(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages up to the first of the user's: what is in them opens the conversation."""
    for index, message in enumerate(messages):
        if message.role == "user":
            return messages[: index + 1]
    return messages


def _ids_in(request: Request) -> set[str]:
    """Ids that a request repeats from earlier replies: of the reply it continues, and of tool calls."""
    calls = {block.id for message in request.messages for block in message.blocks if block.id}
    return calls | ({request.continues} if request.continues else set())


def _turns(messages: Sequence[Message]) -> tuple[str, ...]:
    """The words of a history; markers of caches and the like left out."""
    return tuple(f"{message.role}:{message.text}" for message in messages)
