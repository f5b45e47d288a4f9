"""The learner's copy of a lab: made from the skeleton, put back to it with a backup, compared with it."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from grader.errors import GraderError, UsageError
from grader.lab import Lab
from grader.submission import copy_tree, list_files, write_fault

LONGEST_DIFF = 2**20  # bytes of a file that `diff` reads


def start(lab: Lab) -> Path:
    """Copy the skeleton to `work/`.

    Raises:
        UsageError: it is there already.
        EnvironmentFault: the checkout cannot be written.
    """
    if lab.work.exists():
        raise UsageError(
            f"work/{lab.folder} is there already",
            mend=f"Go on working in it; `grader reset {lab.name}` starts anew and keeps a backup.",
            slug="already-started",
        )
    try:
        lab.work.parent.mkdir(parents=True, exist_ok=True)
        # Copied beside its place and renamed: a crash or a full disk never leaves half a skeleton.
        partial = Path(tempfile.mkdtemp(prefix=f".{lab.folder}-", dir=lab.work.parent))
    except OSError as error:
        raise write_fault(lab.work, error) from error
    try:
        copy_tree(lab.home / "skeleton", partial)
        partial.chmod(0o755)
        partial.rename(lab.work)
    except OSError as error:
        raise write_fault(lab.work, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return lab.work


def reset(lab: Lab) -> Path:
    """Put the work folder back to the skeleton; returns where the old one was moved.

    Raises:
        UsageError: there is no work folder.
        EnvironmentFault: the checkout cannot be written.
    """
    if not lab.work.is_dir():
        raise UsageError(
            f"there is no work/{lab.folder} to reset", mend=f"`grader start {lab.name}` makes it.", slug="not-started"
        )
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    backup = lab.work.with_name(f"{lab.folder}.backup-{stamp}-{os.getpid()}")
    try:
        lab.work.rename(backup)
    except OSError as error:
        raise write_fault(lab.work, error) from error
    try:
        start(lab)
    except GraderError:
        backup.rename(lab.work)  # no skeleton, no reset: the work stays where it was
        raise
    return backup


def diff(lab: Lab) -> str:
    """What the work folder changes against the skeleton, as a unified diff; "" when nothing does.

    Raises:
        UsageError: there is no work folder.
    """
    if not lab.work.is_dir():
        raise UsageError(
            f"there is no work/{lab.folder} to compare", mend=f"`grader start {lab.name}` makes it.", slug="not-started"
        )
    skeleton = lab.home / "skeleton"
    parts: list[str] = []
    for relative in sorted({*list_files(skeleton), *list_files(lab.work)}):
        before, after = _lines(skeleton / relative), _lines(lab.work / relative)
        if before == after and (skeleton / relative).exists() == (lab.work / relative).exists():
            continue
        parts.extend(difflib.unified_diff(before, after, f"skeleton/{relative}", f"work/{relative}"))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in parts)


def _lines(path: Path) -> list[str]:
    if path.is_symlink() or not path.is_file():
        return []
    if (size := path.stat().st_size) > LONGEST_DIFF:
        return [f"({size:,} bytes, too long to compare line by line)\n"]
    try:
        return path.read_text("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        return [f"(binary, {path.stat().st_size} bytes)\n"]
