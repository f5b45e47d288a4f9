"""What a program may use, and what it may touch."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from grader.sandbox.watchdog import Bounds


@dataclass(frozen=True)
class Limits:
    """Bounds of one program.

    Attributes:
        memory_mb: of each process's private memory, and of the memory of all in sum.
        output_kb: what is kept of the end of its output.
        open_files, file_mb: of one process, of one file.
        disk_mb, files: of the folder that it may write to.
        processes: processes and threads.
        temporary_mb: of each memory file system, where it has its own.
    """

    memory_mb: int = 2048
    output_kb: int = 64
    open_files: int = 1024
    file_mb: int = 256
    disk_mb: int = 512
    files: int = 20_000
    processes: int = 512
    temporary_mb: int = 256

    def as_bounds(self) -> Bounds:
        """What is watched for the whole tree of its processes."""
        return Bounds(self.memory_mb, self.disk_mb, self.files, self.processes)

    def as_rlimits(self) -> dict[str, int]:
        """Names and values for `setrlimit` in the child."""
        limits = {
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_FSIZE": self.file_mb * 2**20,
        }
        if sys.platform == "linux":  # elsewhere RLIMIT_DATA does not count mapped memory
            limits["RLIMIT_DATA"] = self.memory_mb * 2**20
        return limits


@dataclass(frozen=True)
class Reach:
    """What a program may touch beside the libraries that it runs on.

    Attributes:
        own: the one folder that it may write to; None for the folder that it starts in.
        listen: TCP ports on which it may be asked.
        connect: TCP ports of 127.0.0.1 that it may call: its double, its database.
    """

    own: Path | None = None
    listen: tuple[int, ...] = ()
    connect: tuple[int, ...] = ()


NOTHING_ELSE = Reach()
