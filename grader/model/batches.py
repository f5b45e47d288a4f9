"""Message batches: programs create them, and a check says when they end and how each of their requests does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from grader.model.memory import Memory
from grader.model.script import Fail

DAY = 24 * 3600
KEPT_DAYS = 29
ITEM_BYTES = 2048  # about what the result of one request takes besides what was sent
Result = dict[str, Any]
Status = Literal["in_progress", "canceling", "ended"]


@dataclass(eq=False)
class Item:
    """One request of a batch; `result` is there once it was played, seen only when the whole batch has ended."""

    custom_id: str
    params: dict[str, Any]
    result: Result | None = None


@dataclass(eq=False)
class Batch:
    """One batch; times are seconds since the epoch by the double's clock."""

    id: str
    account: str
    headers: Mapping[str, str]
    items: tuple[Item, ...]
    created_at: float
    looks: int = 0
    cancelled_at: float | None = None
    ended_at: float | None = None
    order: list[Item] = field(default_factory=list)  # of the results

    @property
    def status(self) -> Status:
        if self.ended_at is not None:
            return "ended"
        return "in_progress" if self.cancelled_at is None else "canceling"

    @property
    def custom_ids(self) -> tuple[str, ...]:
        return tuple(item.custom_id for item in self.items)


@dataclass(frozen=True)
class Ending:
    """How a batch ends: what is named here does so, the rest is played from the script."""

    expire: tuple[str, ...] = ()
    fail: Mapping[str, Fail] = field(default_factory=dict)
    order: tuple[str, ...] | None = None  # None: the other way round than sent


Player = Callable[[Batch, Item, Fail | None], Result]
OnLoop = Callable[[Callable[[], None]], None]


class Batches:
    """All batches of one double. Results come in another order than the requests unless `order` says which.

    A batch ends when a check says so, when a program has looked at it as often as `finish_after` says, at the look
    after it was cancelled, or by the double's clock a day after it was created: never by waiting.
    """

    def __init__(self, memory: Memory) -> None:
        self._clock = memory.clock
        self._kept = memory.shelf(most=1000)
        self._created = threading.Condition()
        self._ids: list[str] = []
        self._at_look: tuple[int, Ending] | None = None
        self._play: Player = _no_player
        self._on_loop: OnLoop = lambda work: work()

    # --- for checks -------------------------------------------------------------------------------------------------

    def await_created(self, count: int = 1, seconds: float = 20) -> tuple[str, ...]:
        """Ids of all batches, once there are so many; raises TimeoutError when there are fewer after these seconds."""
        with self._created:
            if not self._created.wait_for(lambda: len(self._ids) >= count, seconds):
                raise TimeoutError(f"{len(self._ids)} of {count} batches were created in {seconds} seconds")
            return tuple(self._ids)

    def finish(
        self,
        batch_id: str | None = None,
        *,
        expire: Iterable[str] = (),
        fail: Mapping[str, Fail] | None = None,
        order: Sequence[str] | None = None,
    ) -> None:
        """Ends a batch, or all that are under way: its requests take their steps from the script, in the order sent.

        Args:
            batch_id: which; None: all.
            expire: custom ids of requests that were not come to in time.
            fail: by custom id, the error that a request ends in.
            order: custom ids of all requests in the order of the results; None: the other way round than sent.

        Raises:
            KeyError: no batch of that id is under way, or it has no request of such a custom id.
        """
        ending = Ending(tuple(expire), dict(fail or {}), None if order is None else tuple(order))

        def work() -> None:
            for batch in self._under_way(batch_id):
                self.end(batch, ending)

        self._on_loop(work)

    def finish_after(
        self,
        looks: int,
        *,
        expire: Iterable[str] = (),
        fail: Mapping[str, Fail] | None = None,
        order: Sequence[str] | None = None,
    ) -> None:
        """Every batch ends by itself when a program retrieves it for this time; arguments as for `finish`."""
        ending = Ending(tuple(expire), dict(fail or {}), None if order is None else tuple(order))
        self._at_look = (looks, ending)

    def run(self, *custom_ids: str, batch_id: str | None = None) -> None:
        """Plays these requests now: what is done stays done when the batch is cancelled or expires."""

        def work() -> None:
            for batch in self._under_way(batch_id):
                for item in _named(batch, custom_ids):
                    item.result = item.result or self._play(batch, item, None)

        self._on_loop(work)

    @property
    def all(self) -> tuple[Batch, ...]:
        """In the order in which they were created."""
        return tuple(sorted(self._kept.values(), key=lambda batch: batch.created_at))

    # --- for the wire and the server --------------------------------------------------------------------------------

    def played_by(self, play: Player, on_loop: OnLoop) -> None:
        self._play, self._on_loop = play, on_loop

    def reset(self) -> None:
        """Forgets how batches end by themselves; the shelves are emptied by the memory."""
        self._at_look = None
        with self._created:
            self._ids.clear()

    def create(self, batch: Batch, size: int) -> None:
        """`size` is the length of its body."""
        self._kept.put(batch.id, batch, size=2 * size + ITEM_BYTES * len(batch.items))
        with self._created:
            self._ids.append(batch.id)
            self._created.notify_all()

    def find(self, batch_id: str, account: str) -> Batch | None:
        batch: Batch | None = self._kept.get(batch_id)
        if batch is None or batch.account != account:
            return None
        self._grow_old(batch)
        return batch

    def of(self, account: str) -> tuple[Batch, ...]:
        """Newest first."""
        ours = [batch for batch in self.all if batch.account == account]
        for batch in ours:
            self._grow_old(batch)
        return tuple(reversed(ours))

    def look(self, batch: Batch) -> None:
        """A program retrieves the batch: it may end with this look."""
        batch.looks += 1
        if batch.status == "canceling":
            self.end(batch, Ending())
        elif batch.status == "in_progress" and self._at_look is not None and batch.looks >= self._at_look[0]:
            self.end(batch, self._at_look[1])

    def cancel(self, batch: Batch) -> None:
        if batch.cancelled_at is None:
            batch.cancelled_at = self._clock.now()

    def delete(self, batch: Batch) -> None:
        self._kept.pop(batch.id)

    def is_archived(self, batch: Batch) -> bool:
        """Whether its results are no longer to be had."""
        return self._clock.now() >= batch.created_at + KEPT_DAYS * DAY

    def end(self, batch: Batch, ending: Ending) -> None:
        _named(batch, (*ending.expire, *ending.fail))  # a name that is wrong is said before anything is played
        for item in batch.items:
            if item.result is None:
                item.result = self._result(batch, item, ending)
        order = ending.order or tuple(reversed(batch.custom_ids))
        batch.order = _named(batch, order)
        if len(batch.order) != len(batch.items):
            raise KeyError(f"the order of {batch.id} has {len(batch.order)} of its {len(batch.items)} requests")
        batch.ended_at = self._clock.now()

    def _result(self, batch: Batch, item: Item, ending: Ending) -> Result:
        if item.custom_id in ending.expire:
            return {"type": "expired"}
        if batch.cancelled_at is not None:
            return {"type": "canceled"}
        return self._play(batch, item, ending.fail.get(item.custom_id))

    def _grow_old(self, batch: Batch) -> None:
        if batch.ended_at is None and self._clock.now() >= batch.created_at + DAY:
            self.end(batch, Ending(expire=batch.custom_ids))

    def _under_way(self, batch_id: str | None) -> list[Batch]:
        found = [batch for batch in self.all if batch.ended_at is None and batch_id in (None, batch.id)]
        if batch_id is not None and not found:
            raise KeyError(f"no batch {batch_id} is under way")
        return found


def _named(batch: Batch, custom_ids: Sequence[str]) -> list[Item]:
    items = {item.custom_id: item for item in batch.items}
    unknown = [name for name in custom_ids if name not in items]
    if unknown:
        raise KeyError(f"{batch.id} has no request {', '.join(unknown)}; it has {', '.join(items)}")
    return [items[name] for name in custom_ids]


def _no_player(batch: Batch, item: Item, fail: Fail | None) -> Result:
    raise RuntimeError(f"nobody plays {item.custom_id} of {batch.id} ({fail}): the double is not made yet")
