"""The private folder of a run: made for it, removed with it, and by the next run when its grader was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grader.submission import write_fault

_PREFIX = "grader-"
_OWNER = ".owner"  # locked by the grader whose folder it is, for as long as that lives


@contextmanager
def private_folder(*, keep: bool = False) -> Iterator[Path]:
    """A new folder for the block; with `keep` it stays.

    Raises:
        EnvironmentFault: it cannot be made (disk-full, not-writable).
    """
    _collect(Path(tempfile.gettempdir()))
    folder, owner = _make(keep=keep)
    try:
        yield folder
    finally:
        if not keep:
            _remove(folder)
        if owner is not None:
            os.close(owner)


def _make(*, keep: bool) -> tuple[Path, int | None]:
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    except OSError as error:
        raise write_fault(Path(tempfile.gettempdir()), error) from error
    if os.geteuid() == 0:
        folder.chmod(0o711)  # programs run as a throw-away user then, who walks through it and cannot list it
    if keep:
        return folder, None
    unowned = folder / f"{_OWNER}.new"
    try:
        owner = os.open(unowned, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(owner, fcntl.LOCK_EX)
        unowned.rename(folder / _OWNER)  # locked before it has its name: nobody finds it free
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise write_fault(folder, error) from error
    return folder, owner


def _collect(place: Path) -> None:
    """Remove the folders of our graders that were killed."""
    for owner in place.glob(f"{_PREFIX}*/{_OWNER}"):
        with suppress(OSError), owner.open("rb") as file:  # another user's, or its grader lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(owner.parent)


def _remove(folder: Path) -> None:
    """Its owner's file goes last: what a second kill leaves of the folder is found again."""
    for path in folder.iterdir():
        if path.name == _OWNER:
            continue
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_tree(folder: Path) -> None:
    """Remove a folder, whatever a program made of it.

    Programs nest folders deeper than Python can follow, and lock them; `rm` follows any depth.
    """
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for argv in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*argv, str(folder)], stderr=subprocess.DEVNULL, check=False)
