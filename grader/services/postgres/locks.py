"""File locks that end with the process that holds them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grader.errors import EnvironmentFault


class LockTakenError(EnvironmentFault):
    """Another process held a lock for longer than we waited."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__(
            f"Another process held '{path}' for {seconds:.0f} s.",
            mend="Look for a grader that hangs (`ps`), end it, and run the command again.",
            slug="database-start",
        )


@contextmanager
def locked(path: Path, *, shared: bool = False, seconds: float = 60) -> Iterator[None]:
    """Hold the lock in the block.

    Raises:
        LockTakenError: somebody else held it for all of `seconds`.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    deadline = time.monotonic() + seconds
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LockTakenError(path, seconds) from None
                time.sleep(0.01)  # flock has no deadline of its own
        yield


def held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
