"""What one double remembers between requests: shelves of bounded size, a clock that a check can advance, a secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

MOST_ITEMS = 1000
MOST_BYTES = 64 * 1024 * 1024


class Clock:
    """The double's own time: the machine's, plus what a check has put it forward."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch; never goes back."""
        with self._lock:
            return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"a clock cannot be put back: {seconds} seconds")
        with self._lock:
            self._ahead += seconds


class Shelf(Generic[Value]):
    """Keeps values by key; drops those that were not used for longest when it holds too many or too many bytes."""

    def __init__(self, *, most: int = MOST_ITEMS, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._kept: OrderedDict[str, tuple[Value, int]] = OrderedDict()
        self._bytes = 0

    def put(self, key: str, value: Value, *, size: int) -> None:
        """Keeps the value; `size` is about how many bytes it takes. One larger than the whole shelf is not kept."""
        with self._lock:
            self.pop(key)
            self._kept[key] = (value, size)
            self._bytes += size
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._bytes -= dropped

    def get(self, key: str) -> Value | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def pop(self, key: str) -> Value | None:
        with self._lock:
            if key not in self._kept:
                return None
            value, size = self._kept.pop(key)
            self._bytes -= size
            return value

    def values(self) -> tuple[Value, ...]:
        """From the one that was not used for longest to the last used."""
        with self._lock:
            return tuple(value for value, _ in self._kept.values())

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0


class Memory:
    """One for each double: its wires ask it for shelves when they are made."""

    def __init__(self) -> None:
        self.clock = Clock()
        self._secret = secrets.token_bytes(32)
        self._shelves: list[Shelf[Any]] = []

    def shelf(self, *, most: int = MOST_ITEMS, most_bytes: int = MOST_BYTES) -> Shelf[Any]:
        """A new shelf, emptied by `forget`."""
        shelf: Shelf[Any] = Shelf(most=most, most_bytes=most_bytes)
        self._shelves.append(shelf)
        return shelf

    def forget(self) -> None:
        for shelf in self._shelves:
            shelf.clear()

    def sign(self, message: bytes) -> bytes:
        """16 bytes that only this double can make."""
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:16]

    def account_of(self, headers: Mapping[str, str]) -> str:
        """Stands for the key of a request, for state that is kept per key; says nothing about the key."""
        key = headers.get("authorization", "") or headers.get("x-api-key", "")
        return self.sign(b"account:" + key.encode("utf-8", "surrogatepass")).hex()[:12] if key else ""
