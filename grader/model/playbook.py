"""Decides what the model does with a request: faults first, then its conversation, the script and the responder."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from grader.model.conversations import Conversation, Leftover, Unmatched, conversation_of, opening_name
from grader.model.journal import Request
from grader.model.script import AsUsual, Cut, Hold, Responder, Slow, Step, Unfaithful, When


@dataclass(eq=False)
class Held:
    """Requests kept waiting: `arrived` is set by the first, `release()` lets all go, those to come too."""

    arrived: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        self._released.set()

    def is_set(self) -> bool:
        return self._released.is_set()


@dataclass(eq=False)
class _Fault:
    when: When
    step: Step
    left: int | None  # None: as often as it matches


class Playbook:
    """Thread-safe: checks write it, the server's loop reads it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queue: deque[tuple[Step, When | None]] = deque()
        self._faults: list[_Fault] = []
        self._holds: list[tuple[When, Held]] = []
        self._conversations: list[Conversation] = []
        self._turns: dict[int, Conversation] = {}  # by the number of the request
        self._responder: Responder | None = None
        self._unmatched: list[Unmatched] = []

    def script(self, *steps: Step, when: When | None = None) -> None:
        with self._lock:
            self._queue.extend((step, when) for step in steps)

    def conversation(self, opens: str | When, name: str | None = None) -> Conversation:
        with self._lock:
            made = Conversation(opens, name or opening_name(opens), self._lock)
            self._conversations.append(made)
            return made

    def respond(self, responder: Responder | None) -> None:
        with self._lock:
            self._responder = responder

    @contextmanager
    def fault(self, when: When, step: Step, *, times: int | None = None) -> Iterator[None]:
        fault = _Fault(when, step, times)
        with self._lock:
            self._faults.append(fault)
        try:
            yield
        finally:
            with self._lock:
                self._faults = [other for other in self._faults if other is not fault]

    @contextmanager
    def hold(self, when: When) -> Iterator[Held]:
        held = Held()
        with self._lock:
            self._holds.append((when, held))
        try:
            yield held
        finally:
            held.release()
            with self._lock:
                self._holds = [(other, gate) for other, gate in self._holds if gate is not held]

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        with self._lock:
            return tuple(self._unmatched)

    @property
    def leftover(self) -> tuple[Leftover, ...]:
        with self._lock:
            queued = [Leftover(step) for step, _ in self._queue]
            return (*queued, *(left for one in self._conversations for left in one.leftover))

    def reset(self) -> None:
        """Forgets script, conversations, responder, faults and unmatched requests, and lets held requests go."""
        with self._lock:
            self._queue.clear()
            self._conversations.clear()
            self._turns.clear()
            self._faults.clear()
            self._responder = None
            self._unmatched.clear()
            self.release_all()

    def release_all(self) -> None:
        with self._lock:
            for _, held in self._holds:
                held.release()
            self._holds.clear()

    def held_by(self, request: Request) -> tuple[Held, ...]:
        """The holds that the request has to wait for; tells each that it arrived."""
        with self._lock:
            gates = tuple(held for when, held in self._holds if not held.is_set() and when(request))
        for gate in gates:
            gate.arrived.set()
        return gates

    def choose(self, request: Request, *, scripted: bool) -> Step | None:
        """The step for a request: None when nothing was planned for it (and it is remembered as unmatched).

        An endpoint that computes its replies takes only faults; AsUsual stands for what it computes.
        """
        with self._lock:
            fault = self._fault_for(request)
            if fault is None:
                return self._usual(request) if scripted else AsUsual()
            if not scripted or not _asks_for_usual(fault):
                return fault
            usual = self._usual(request)
            return None if usual is None else _filled(fault, usual)

    def _fault_for(self, request: Request) -> Step | None:
        for fault in self._faults:
            if fault.left != 0 and fault.when(request):
                if fault.left is not None:
                    fault.left -= 1
                return fault.step
        return None

    def gave(self, request: Request, ids: Iterable[str], text: str) -> None:
        """The reply to a request was made, with these ids of its own and of its tool calls."""
        with self._lock:
            if conversation := self._turns.get(request.number):
                conversation.gave(request, ids, text)

    def hung_up(self, request: Request) -> None:
        """The program closed the connection before the reply was over."""
        with self._lock:
            if conversation := self._turns.get(request.number):
                conversation.gave_up()

    def name_of(self, request: Request) -> str:
        """The conversation whose turn a request is, or ""."""
        with self._lock:
            conversation = self._turns.get(request.number)
            return conversation.name if conversation else ""

    def _usual(self, request: Request) -> Step | None:
        why = ""
        if conversation := conversation_of(self._conversations, request):
            self._turns[request.number] = conversation
            if step := conversation.take(request):
                return step
            why = conversation.why_not()
        else:
            for index, (step, when) in enumerate(self._queue):
                if when is None or when(request):
                    del self._queue[index]
                    return step
        if self._responder is not None:
            return self._responder(request)
        self._unmatched.append(Unmatched(request, why) if why else Unmatched(request))
        return None


def _asks_for_usual(step: Step) -> bool:
    if isinstance(step, (Slow, Hold, Cut, Unfaithful)):
        return _asks_for_usual(step.step)
    return isinstance(step, AsUsual)


def _filled(fault: Step, usual: Step) -> Step:
    """The fault with the usual step in the place of AsUsual."""
    if isinstance(fault, (Slow, Hold, Cut, Unfaithful)):
        return replace(fault, step=_filled(fault.step, usual))
    return usual
