"""A started program as the grader sees it: what it printed, how it ended, what it was killed for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

import psutil

from grader.sandbox import relay
from grader.sandbox.watchdog import Overrun

_DRAIN_SECONDS = 0.5  # a child that it left behind may hold its output open for ever


class Output:
    """The tail of what a program printed, stdout and stderr as they came."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._tail = bytearray()
        self._lock = threading.Lock()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Append, dropping the oldest bytes over the limit."""
        with self._lock:
            self.total += len(data)
            self._tail += data
            if len(self._tail) > self._keep:
                del self._tail[: len(self._tail) - self._keep]

    def text(self, since: int = 0) -> str:
        """The kept tail of what came after the first `since` bytes; undecodable bytes are shown escaped."""
        with self._lock:
            fresh = min(len(self._tail), self.total - since)
            return bytes(self._tail[len(self._tail) - fresh :]).decode("utf-8", "backslashreplace")


class Running:
    """A started program.

    Attributes:
        pid: its process id, which is also its session and process group.
        output: the tail of stdout and stderr together.
        flooded: it was killed for printing more than 8 MiB.
        overrun: what else it was killed for.
        over, drained: set when it has ended, and when nobody can print for it any more.
    """

    def __init__(self, pid: int, output: Output, *, own_network: bool = False) -> None:
        self.pid = pid
        self.output = output
        self.flooded = False
        self.overrun: Overrun | None = None
        self.over = threading.Event()
        self.drained = threading.Event()
        self._own_network = own_network
        self._at_end: list[Callable[[], None]] = []
        self._status = 0

    @property
    def alive(self) -> bool:
        """Whether the program itself still runs (its children may, even when it does not)."""
        return not self.over.is_set()

    @property
    def exit_code(self) -> int | None:
        """Exit status as `subprocess` gives it (negative: killed by that signal); None while it runs."""
        return os.waitstatus_to_exitcode(self._status) if self.over.is_set() else None

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; None when it still runs after `seconds`."""
        self.over.wait(seconds)
        return self.exit_code

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing happens when it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL its process group and wait until the kernel has taken it down."""
        self.signal(signal.SIGKILL)
        self.over.wait(10)

    def last_words(self) -> str:
        """The end of its output, waited for a moment when it has just ended."""
        if not self.alive:
            self.drained.wait(_DRAIN_SECONDS)
        return self.output.text()

    def listening(self) -> set[str]:
        """Where it and its children listen, as in "127.0.0.1:8000"."""
        if self._own_network:
            return relay.listening_at(self.pid)
        found: set[str] = set()
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.pid)
            for process in (root, *root.children(recursive=True)):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN and connection.laddr:
                        found.add(f"{connection.laddr.ip}:{connection.laddr.port}")
        return found

    def at_end(self, close: Callable[[], None]) -> None:
        """Have something closed when it ends."""
        self._at_end.append(close)

    def ended(self, status: int, overrun: Overrun | None = None) -> None:
        """Told by the launcher: the raw wait status, and what it was killed for."""
        self._status, self.overrun = status, overrun
        self.over.set()
        for close in self._at_end:
            close()
