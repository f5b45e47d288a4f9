"""Lets one thread end what other threads wait for: sockets are shut, statements are cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The run has to end now."""


class Stop:
    """The end of one run, before or when it comes."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._closers: set[Callable[[], object]] = set()
        self._lock = threading.Lock()

    def now(self, reason: str) -> None:
        """End the run. What waits is interrupted again and again until nothing waits any more."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
        threading.Thread(target=self._interrupt, daemon=True).start()

    def check(self) -> None:
        if self.reason is not None:
            raise Stopped

    @contextmanager
    def waiting(self, close: Callable[[], object]) -> Iterator[None]:
        """The block may wait for something that `close` ends."""
        with self._lock:
            self._closers.add(close)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._closers.discard(close)

    def _interrupt(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                closers = list(self._closers)
            for close in closers:
                try:
                    close()
                except Exception:  # it ended by itself
                    continue
            if not closers:
                return
            pause.wait(0.05)
