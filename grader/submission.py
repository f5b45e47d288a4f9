"""Copies the allow-listed regular files of a submission to a private folder, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from grader.errors import EnvironmentFault, LearnerError, UsageError

MAX_FILES = 2_000
MAX_BYTES = 20 * 1024 * 1024
LEAST_ROOM = 1024 * 1024
# Files that would run, or steer a tool, merely by lying there.
FORBIDDEN = re.compile(
    r"(conftest\.py|pytest\.ini|tox\.ini|setup\.cfg|pyproject\.toml|(site|user)customize\.py|.*\.pth|.*\.py[co])",
    re.IGNORECASE,
)
SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache"}
)


@dataclass(frozen=True)
class Submission:
    """What was staged.

    Attributes:
        folder: the private copy.
        files: relative paths, sorted.
        digest: SHA-256 over names and contents: the same files give the same digest on every machine.
    """

    folder: Path
    files: tuple[str, ...]
    digest: str


def stage(source: Path, folder: Path, allowed: tuple[str, ...]) -> Submission:
    """Copy the files of `source` that match a glob of `allowed` into the empty `folder`.

    Symbolic links, special files and files that tools run by themselves are never followed or copied.

    Raises:
        UsageError: `source` is not a folder.
        LearnerError: nothing to grade, an allow-listed link, or over 2,000 files or 20 MiB.
        EnvironmentFault: the copy cannot be written.
    """
    if not source.is_dir():
        raise UsageError(f"there is no folder {str(source)!r}", mend="Name an existing folder.", slug="no-such-folder")
    patterns = [_pattern(glob) for glob in allowed]
    files: list[str] = []
    digest = hashlib.sha256()
    total = 0
    for relative in sorted(_walk(source, "")):
        if not any(pattern.fullmatch(relative) for pattern in patterns) or FORBIDDEN.fullmatch(Path(relative).name):
            continue
        content = _read_regular(source / relative, relative, MAX_BYTES - total)
        total += len(content)
        files.append(relative)
        if len(files) > MAX_FILES:
            raise _too_large(f"more than {MAX_FILES:,} files")
        _write(folder / relative, content)
        digest.update(f"{relative}\0{len(content)}\0".encode() + content)
    if not files:
        raise LearnerError(
            f"{str(source)!r} holds none of the files this lab hands in",
            mend=f"Handed in are: {', '.join(allowed)}. `grader reset` brings the skeleton back.",
            slug="submission-empty",
        )
    return Submission(folder=folder, files=tuple(files), digest=digest.hexdigest())


def copy_tree(source: Path, folder: Path) -> None:
    """Copy regular files of a trusted folder (a skeleton, a reference), over what `folder` already holds."""
    for relative in sorted(_walk(source, "")):
        _write(folder / relative, (source / relative).read_bytes())


def list_files(source: Path) -> tuple[str, ...]:
    """Relative paths of the regular files below `source`, caches left out."""
    return tuple(sorted(_walk(source, "")))


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**/` is any number of folders, `*` and `?` stay inside one name."""
    parts = re.split(r"(\*\*/|\*|\?)", glob)
    table = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts))


def _walk(folder: Path, prefix: str) -> list[str]:
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED_FOLDERS:
                    found.extend(_walk(folder / entry.name, f"{prefix}{entry.name}/"))
            elif not entry.name.startswith(".#"):
                found.append(prefix + entry.name)
            if len(found) > MAX_FILES * 10:
                raise _too_large(f"more than {MAX_FILES * 10:,} files in the folder")
    return found


def _read_regular(path: Path, relative: str, room: int) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        kind = "a symbolic link" if error.errno == errno.ELOOP else f"unreadable ({error.strerror})"
        raise _not_regular(relative, kind) from error
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(relative, "not a regular file")
        if status.st_size > room:
            raise _too_large(f"over {MAX_BYTES // 2**20} MiB in all, reached at {relative!r}")
        return file.read(room + 1)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise write_fault(path, error) from error


def write_fault(path: Path, error: OSError) -> EnvironmentFault:
    """The fault that a failed write means, with its own slug for a full disk and for a read-only place."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentFault(
            f"the disk is full: cannot write {str(path)!r}", mend="Free some space and run again.", slug="disk-full"
        )
    return EnvironmentFault(
        f"cannot write {str(path)!r}: {error.strerror}",
        mend="Make the place writable, or set TMPDIR to a folder that is.",
        slug="not-writable",
    )


def without_room(folder: Path) -> EnvironmentFault | None:
    """The fault of a folder whose disk has less than 1 MiB left: whatever writes there fails."""
    if shutil.disk_usage(folder).free >= LEAST_ROOM:
        return None
    return write_fault(folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _not_regular(relative: str, kind: str) -> LearnerError:
    return LearnerError(
        f"{relative!r} is {kind}", mend="Replace it by a regular file: only those are graded.", slug="submission-link"
    )


def _too_large(what: str) -> LearnerError:
    return LearnerError(
        f"the submission is too large: {what}",
        mend="Hand in source files only; keep data, models and virtual environments out of the lab's folder.",
        slug="submission-too-large",
    )
