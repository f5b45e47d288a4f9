"""The processes below this one: hear of their ends, count what they use, kill them all."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

_KERNEL_SAYS = Path("/proc/thread-self/children").exists()


def wake_on_signals() -> int:
    """A pipe that a `select` wakes from when a child ends; each signal writes its number."""
    wake, wake_write = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return wake


def reap() -> list[tuple[int, int]]:
    """Process ids and wait statuses of all children that have ended."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; nothing happens when the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_descendants(spare: set[int]) -> None:
    """SIGKILL every descendant of this process but `spare`, until none is left: they may fork while we look."""
    for _ in range(200):
        targets = [pid for pid in descendants(os.getpid()) if pid not in spare]
        if not targets:
            break
        for pid in targets:
            kill(pid)
        reap()
        select.select([], [], [], 0.005)


def descendants(pid: int) -> list[int]:
    """All processes below one, itself left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def children(pid: int) -> list[int]:
    """The processes that this one is the parent of."""
    if not _KERNEL_SAYS:
        import psutil  # noqa: PLC0415 - only where the kernel does not say: other systems, some old kernels

        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text("ascii").split())
    return found


def memory_bytes(pids: Iterable[int], enough: int) -> int:
    """What these processes hold: pages that several share are counted once, where that can make a difference.

    Args:
        enough: a sum below this is good as it is, shared pages counted for each.
    """
    known = tuple(pids)
    rough = sum(map(_resident, known))
    return rough if rough < enough else sum(map(_proportional, known))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0  # it has ended


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)
