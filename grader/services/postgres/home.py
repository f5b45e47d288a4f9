"""Where the embedded server keeps its locks, its password and its cluster."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grader.places import cache_folder
from grader.services.postgres import faults

ROOM = 2 * 1024**3  # bytes free that make a memory file system good enough for a cluster and its databases
LONGEST_SOCKET = 103  # bytes of a socket's path: 108 on Linux with the closing zero, 104 on macOS


@dataclass(frozen=True)
class Home:
    """The private folder of one embedded server: who may start it, who runs it, where it answers."""

    folder: Path

    @staticmethod
    def open() -> Home:
        """Make the folder, readable by its owner only.

        Raises:
            EnvironmentFault: it cannot be made or written to (cache-read-only, disk-full).
        """
        folder = cache_folder() / "postgres"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            if error.errno == 28:
                raise faults.disk_full(str(folder), "no space left on device") from error
            raise faults.cache_read_only(str(folder), error.strerror or str(error)) from error
        return Home(folder)

    @property
    def start_lock(self) -> Path:
        """Held shared to connect, alone to start or stop."""
        return self.folder / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one supervisor for as long as it lives."""
        return self.folder / "supervisor.lock"

    @property
    def password(self) -> Path:
        """The superuser's password, readable by the owner only."""
        return self.folder / "superuser.password"

    @property
    def keep(self) -> Path:
        """Exists while the server was asked to stay up without leases."""
        return self.folder / "keep-up"

    @property
    def log(self) -> Path:
        """What the supervisor and the server wrote since the last start."""
        return self.folder / "postgres.log"

    def state(self) -> dict[str, Any]:
        """What the supervisor wrote about the server it runs; empty when there is none."""
        return _read(self.folder / "state.json")

    def write_state(self, state: Mapping[str, Any]) -> None:
        _write(self.folder / "state.json", state)

    def forget_state(self) -> None:
        (self.folder / "state.json").unlink(missing_ok=True)

    def place(self) -> dict[str, Any]:
        """Folders outside of this one that belong to it: cluster, socket, copied engine."""
        return _read(self.folder / "place.json")

    def write_place(self, place: Mapping[str, Any]) -> None:
        _write(self.folder / "place.json", place)

    def erase(self) -> None:
        """Remove the cluster and everything outside of this folder; the next start begins anew."""
        self.remove_folders(*self.place().values())
        for name in ("place.json", "state.json", self.password.name, "scratch.json"):
            (self.folder / name).unlink(missing_ok=True)

    @staticmethod
    def remove_folders(*folders: str | Path | None) -> None:
        for folder in folders:
            if folder is not None and owned(Path(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def owned(folder: Path) -> bool:
    """Whether this is a real folder of ours, not something another user put at its path."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()


def memory_folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    return [Path("/dev/shm"), *(Path(value) for value in [environment.get("XDG_RUNTIME_DIR")] if value)]  # noqa: S108  # a fresh private folder is made in it


def choose_parent(memory: Iterable[Path], fallbacks: Iterable[Path], *, other_user: bool) -> Path:
    """The folder to make the cluster in: memory with room first, then the first that works.

    Args:
        memory: folders on memory file systems.
        fallbacks: folders on disks, best first.
        other_user: the server will run under another uid, which must be able to pass through.
    """
    for folder in memory:
        if _usable(folder, other_user=other_user) and shutil.disk_usage(folder).free >= ROOM:
            return folder
    for folder in fallbacks:
        if _usable(folder, other_user=other_user):
            return folder
    raise faults.cache_read_only(", ".join(map(str, fallbacks)), "no folder for the database")


def _usable(folder: Path, *, other_user: bool) -> bool:
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return not other_user or passable(folder)


def passable(folder: Path) -> bool:
    """Whether every user may walk into it."""
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.resolve().parents))


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file in one step: a reader sees the old or the new content."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1), encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)
