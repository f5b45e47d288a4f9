"""Bounds that no kernel limit sets for a whole tree of processes: memory, disk, files and processes in all."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grader.sandbox import family

if TYPE_CHECKING:
    from grader.sandbox.bubblewrap import Box

SECONDS = 0.2  # between two looks
_LOOKED_AT_MOST = 200_000  # directory entries in one look


@dataclass(frozen=True)
class Bounds:
    """The most that a program with all its processes may have."""

    memory_mb: int
    disk_mb: int
    files: int
    processes: int


@dataclass(frozen=True)
class Overrun:
    """What a program was killed for.

    Attributes:
        slug: "memory-limit", "disk-limit", "file-limit" or "process-limit".
        used, allowed: with the unit, as in "2,311 MiB".
    """

    slug: str
    used: str
    allowed: str


def look(pid: int, others: list[int], own: str, box: Box | None, bounds: Bounds) -> Overrun | None:
    """What a program has too much of now, if anything.

    Args:
        others: processes that were its descendants before their parents ended.
        own: the folder that it writes to.
    """
    family_of_it = {pid, *others, *family.descendants(pid)}
    if box:
        family_of_it |= {*family.descendants(box.first)}
    if len(family_of_it) > bounds.processes:
        return Overrun(slug="process-limit", used=f"{len(family_of_it)} processes", allowed=f"{bounds.processes}")
    allowed = bounds.memory_mb * 2**20
    temporary = box.used_bytes() if box else 0
    used = family.memory_bytes(family_of_it, allowed - temporary) + temporary
    if used > allowed:
        return Overrun(slug="memory-limit", used=f"{used // 2**20:,} MiB", allowed=f"{bounds.memory_mb:,} MiB")
    size, files = _folder(own)
    files += box.used_files() if box else 0
    if size > bounds.disk_mb * 2**20:
        return Overrun(slug="disk-limit", used=f"{size // 2**20:,} MiB", allowed=f"{bounds.disk_mb:,} MiB")
    if files > bounds.files:
        return Overrun(slug="file-limit", used=f"{files:,} files", allowed=f"{bounds.files:,}")
    return None


def _folder(own: str) -> tuple[int, int]:
    """Bytes on the disk and number of entries below a folder; links are not followed."""
    size = count = 0
    waiting = [own]
    while waiting and count < _LOOKED_AT_MOST:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size, count
