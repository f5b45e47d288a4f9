"""Copies the allow-listed regular files of a submission to a private folder, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from grader.errors import EnvironmentFault, LearnerError, UsageError

MAX_FILES = 2_000
MAX_BYTES = 20 * 1024 * 1024
MAX_DEPTH = 32
MAX_NAME = 180  # bytes of one part of a path
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
        LearnerError: nothing to grade, an allow-listed link or odd name, a folder that cannot be read, over 2,000
            files or 20 MiB, or nested more than 32 folders deep.
        EnvironmentFault: the copy cannot be written.
    """
    if not source.is_dir():
        raise UsageError(f"there is no folder {str(source)!r}", mend="Name an existing folder.", slug="no-such-folder")
    patterns = [_pattern(glob) for glob in allowed]
    files: list[str] = []
    digest = hashlib.sha256()
    total = 0
    for relative in sorted(_walk(source)):
        if not any(pattern.fullmatch(relative) for pattern in patterns) or FORBIDDEN.fullmatch(Path(relative).name):
            continue
        if _is_odd(relative):
            raise LearnerError(
                f"{relative[:120]!r} is no name that every system can hold",
                mend=f"Rename it: letters, digits and punctuation, at most {MAX_NAME} bytes.",
                slug="submission-name",
            )
        content = _read_regular(source, relative, MAX_BYTES - total)
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
    for relative in sorted(_walk(source)):
        _write(folder / relative, (source / relative).read_bytes())


def list_files(source: Path) -> tuple[str, ...]:
    """Relative paths of the regular files below `source`, caches left out."""
    return tuple(sorted(_walk(source)))


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob as a regular expression: `**/` is any number of folders, `*` and `?` stay inside one name."""
    parts = re.split(r"(\*\*/|\*|\?)", glob)
    table = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts))


def _walk(folder: Path) -> list[str]:
    """Relative paths of what is below a folder and is no folder itself; links are listed and never followed.

    Raises:
        LearnerError: too many entries, nested too deeply, or a folder that cannot be read.
    """
    found: list[str] = []
    entries = 0

    def walk(handle: int, prefix: str, depth: int) -> None:
        nonlocal entries
        with os.scandir(handle) as listing:
            for entry in listing:
                entries += 1
                if entries > MAX_FILES * 10:
                    raise _too_large(f"more than {MAX_FILES * 10:,} files and folders")
                if not entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith(".#"):
                        found.append(prefix + entry.name)
                elif entry.name not in SKIPPED_FOLDERS:
                    if depth == MAX_DEPTH:
                        raise _too_large(f"folders nested more than {MAX_DEPTH} deep, at {prefix[:60]!r}…")
                    with _opened(entry.name, prefix + entry.name, os.O_DIRECTORY, handle) as inner:
                        walk(inner, f"{prefix}{entry.name}/", depth + 1)

    with _opened(folder, str(folder), os.O_DIRECTORY) as top:
        walk(top, "", 0)
    return found


@contextmanager
def _opened(path: str | Path, relative: str, kind: int, beneath: int | None = None) -> Iterator[int]:
    """A descriptor of a file or folder that is no link; O_NONBLOCK: opening a FIFO must not wait for its writer."""
    follow = os.O_NOFOLLOW if beneath is not None else 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | follow | kind, dir_fd=beneath)
    except OSError as error:
        linked = error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and kind)
        raise _not_regular(relative, "a symbolic link" if linked else f"unreadable ({error.strerror})") from error
    try:
        yield handle
    finally:
        os.close(handle)


def _read_regular(source: Path, relative: str, room: int) -> bytes:
    """The content of a regular file; no folder on the way to it may be a link, even if it became one meanwhile."""
    *folders, name = relative.split("/")
    with ExitStack() as stack:
        handle = stack.enter_context(_opened(source, str(source), os.O_DIRECTORY))
        for folder in folders:
            handle = stack.enter_context(_opened(folder, relative, os.O_DIRECTORY, handle))
        handle = stack.enter_context(_opened(name, relative, 0, handle))
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(relative, "not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(room + 1) if status.st_size <= room else b""
        if max(status.st_size, len(content)) > room:
            raise _too_large(f"over {MAX_BYTES // 2**20} MiB in all, reached at {relative!r}")
        return content


def _is_odd(relative: str) -> bool:
    """Whether a name holds what a message, a manifest or another system cannot: control characters, no UTF-8."""
    long = any(len(part.encode("utf-8", "surrogateescape")) > MAX_NAME for part in relative.split("/"))
    return long or bool(re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", relative))


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
    place = Path(tempfile.gettempdir())
    if path == place or any(parent.parent == place and parent.name.startswith("grader-") for parent in path.parents):
        mend = "Set TMPDIR to a folder that can be written."
    elif path.parent.is_dir():
        mend = f"Make {str(path.parent)!r} writable, or choose another place."
    else:
        mend = f"There is no folder {str(path.parent)!r}: make it, or choose another place."
    return EnvironmentFault(f"cannot write {str(path)!r}: {error.strerror}", mend=mend, slug="not-writable")


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
