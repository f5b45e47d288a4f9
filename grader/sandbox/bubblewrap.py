"""Boxes: namespaces with a file system, processes and a network of their own, which bwrap makes and programs enter.

bwrap runs a shell that waits for the end of its input. As long as that is open the box exists; when it closes, or the
keeper dies, the kernel kills all that is left inside. Programs are forked outside, where the libraries are warm, and
enter the finished box: that costs a few milliseconds, and the keeper's connections stay out of it.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from grader.sandbox import kernel
from grader.sandbox.files import DEVICES

SECONDS = 20.0
TEMPORARY = ("/tmp", "/dev/shm")  # noqa: S108 - not ours: where the box has memory file systems of its own
_HOLD = ("/bin/sh", "-c", "echo; read _")
_INFO = 3


class NoBoxError(OSError):
    """bwrap could not make a box; the message holds its own words."""


class Box:
    """A running box.

    Attributes:
        pid: of bwrap itself.
        first: process 1 of the box, as seen from outside.
    """

    def __init__(self, bwrap: str, mounts: Iterable[tuple[str, bool]], own: str, temporary_mb: int) -> None:
        """Make a box in which `own` is the only folder of the machine that can be written.

        Args:
            mounts: paths to show, in this order, each with whether it is covered by an empty folder instead.
            temporary_mb: room in each of its memory file systems.

        Raises:
            NoBoxError: bwrap is not there, or the kernel does not let it.
        """
        life, self._life = os.pipe()
        said, saying = os.pipe()
        info, telling = os.pipe()
        argv = [bwrap, *arguments(mounts, own, temporary_mb), "--info-fd", str(_INFO), "--", *_HOLD]
        dup = os.POSIX_SPAWN_DUP2
        try:
            streams = [(dup, life, 0), (dup, saying, 1), (dup, saying, 2), (dup, telling, _INFO)]
            self.pid = os.posix_spawn(bwrap, argv, {}, file_actions=streams)
        except OSError as error:
            os.close(self._life)
            raise NoBoxError(error.errno, f"{bwrap}: {error.strerror}") from error
        finally:
            for end in (life, saying, telling):
                os.close(end)
        try:
            words = _until_ready(said)
            if not words.endswith("\n") or words.strip():
                raise NoBoxError(0, words.strip() or "bwrap said nothing")
            self.first = int(json.loads(os.read(info, 65536))["child-pid"])
        except BaseException:
            self.close()
            raise
        finally:
            os.close(said)
            os.close(info)

    def enter(self, *kinds: str) -> None:
        """Move this process, which must have one thread, into namespaces of the box: "user" before all others.

        A process changes its own process namespace only for the children that it makes afterwards.

        Raises:
            OSError: the kernel refuses.
        """
        for kind in kinds:
            path = f"/proc/{self.first}/ns/{kind}"
            if os.stat(path).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
                descriptor = os.open(path, os.O_RDONLY)
                kernel.setns(descriptor, kind)
                os.close(descriptor)

    def used_bytes(self) -> int:
        """What lies in its memory file systems."""
        used = 0
        for place in TEMPORARY:
            with suppress(OSError):
                there = os.statvfs(f"/proc/{self.first}/root{place}")
                used += (there.f_blocks - there.f_bfree) * there.f_frsize
        return used

    def used_files(self) -> int:
        """How many files lie there."""
        used = 0
        for place in TEMPORARY:
            with suppress(OSError):
                there = os.statvfs(f"/proc/{self.first}/root{place}")
                used += there.f_files - there.f_ffree
        return used

    def close(self) -> None:
        """End the box; the kernel kills what is left in it."""
        if self._life >= 0:
            os.close(self._life)
            self._life = -1


def arguments(mounts: Iterable[tuple[str, bool]], own: str, temporary_mb: int) -> list[str]:
    """The options of bwrap for one box, but for the program that it runs."""
    room = str(temporary_mb * 2**20)
    options = [] if os.geteuid() == 0 else ["--unshare-user"]
    options += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    options += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "box", "--proc", "/proc"]
    for place in TEMPORARY:  # before the rest: an interpreter or the program itself may lie below /tmp
        options += ["--perms", "1777", "--size", room, "--tmpfs", place]
    for device in DEVICES:
        options += ["--dev-bind-try", device, device]
    options += ["--symlink", "/proc/self/fd", "/dev/fd"]
    seen = [*mounts]
    for folder in _folders_above([path for path, _ in seen] + [own]):
        options += ["--dir", folder]  # made by the way, it would be for its owner alone
    for path, covered in seen:
        if covered:
            options += ["--tmpfs", path, "--remount-ro", path]
        elif os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        else:
            options += ["--ro-bind-try", path, path]
    return [*options, "--bind", own, own, "--remount-ro", "/", "--chdir", "/"]


def _folders_above(paths: list[str]) -> list[str]:
    """Every folder on the way to these paths, but for those that one of them brings along; the highest first."""
    above = {folder for path in paths for folder in Path(path).parents} - {Path("/")}
    brought = [Path(path) for path in (*paths, "/proc")]
    return sorted(str(folder) for folder in above if not any(folder.is_relative_to(path) for path in brought))


def _until_ready(said: int) -> str:
    """What bwrap and the shell print until the shell's empty line, or until both have ended."""
    deadline = time.monotonic() + SECONDS
    words = b""
    while words != b"\n":
        ready, _, _ = select.select([said], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(said, 4096) if ready else b""
        if not part:
            break
        words += part
    return words.decode("utf-8", "replace")
