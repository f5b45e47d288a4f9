"""Who a program runs as: without any capability, and never as root."""

from __future__ import annotations

import os
import resource
import struct
from pathlib import Path

from grader.sandbox import kernel

# Throw-away ids: above those that accounts get, below those that a container may not map.
_FIRST_ID, _IDS = 61_500, 3_000
_CAP_DAC_READ_SEARCH = 2
_CAPABILITIES = 64
_VERSION_3 = 0x20080522


def throw_away_id() -> int:
    """A user id that owns nothing on this machine and that no other program has at this moment."""
    return _FIRST_ID + os.getpid() % _IDS


def enterable(path: str) -> bool:
    """Whether every user may walk to this path: each folder above it has its x bit for others."""
    return all(folder.stat().st_mode & 0o001 for folder in Path(path).resolve().parents)


def become_nobody(own: str, needed: tuple[str, ...]) -> None:
    """Root turns into a throw-away user who owns the folder `own`; anybody else stays who they are.

    Args:
        needed: what it must be able to walk to. Where only root may (a Python below /root), it keeps the one
            capability to read past file modes: what it reads is for Landlock to say.

    Raises:
        OSError: the kernel refuses; PermissionError when something needed could not be reached.
    """
    if os.geteuid() != 0:
        _give_up_capabilities(keep=0)
        return
    uid = throw_away_id()
    give(own, uid)
    closed = [path for path in needed if not enterable(path)]
    keep = 1 << _CAP_DAC_READ_SEARCH if closed else 0
    if keep and not _held() & keep:
        raise PermissionError(f"user {uid} cannot enter {closed[0]!r}")
    _empty_bounding_set(keep)  # while root still may
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_KEEPCAPS, int(bool(keep)))
    os.setresuid(uid, uid, uid)
    _give_up_capabilities(keep)


def settle() -> None:
    """After a change of user or namespace: readable for itself in /proc again, and gaining nothing by exec."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def limit_processes(most: int, already: int) -> None:
    """At most so many processes and threads beside those that the user has already: the kernel counts both."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    allowed = most + already if hard == resource.RLIM_INFINITY else min(most + already, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))


def running() -> int:
    """Processes and threads of the user that a program will run as; a throw-away one has none."""
    if os.geteuid() == 0:
        return 0
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue  # it has ended
    return count


def take_back(own: str) -> None:
    """Root owns again what a throw-away user had: not every root may read and remove what is another's."""
    if os.geteuid() == 0:
        give(own, 0)


def give(own: str, uid: int) -> None:
    """Make the folder and all in it the user's; links are not followed, files with other names are left alone."""
    for _, _, files, folder in os.fwalk(own, follow_symlinks=False):
        os.fchown(folder, uid, uid)
        for name in files:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if status.st_nlink == 1:
                os.chown(name, uid, uid, dir_fd=folder, follow_symlinks=False)


def _held() -> int:
    """The capabilities in force, as a mask."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))


def _empty_bounding_set(keep: int) -> None:
    """Capabilities that no program started from here can have again, whatever its file says."""
    for capability in range(_CAPABILITIES):
        if not keep >> capability & 1:
            try:
                kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
            except OSError:
                return  # past the last one that this kernel knows, or not ours to drop


def _give_up_capabilities(keep: int) -> None:
    """Drop all but `keep` in every set; what is kept survives exec."""
    _empty_bounding_set(keep)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    header = struct.pack("=Ii", _VERSION_3, 0)
    kernel.capset(header, struct.pack("=IIIIII", low, low, low, high, high, high))
    for capability in range(_CAPABILITIES):
        if keep >> capability & 1:
            kernel.prctl(kernel.PR_CAP_AMBIENT, 2, capability)  # raise
