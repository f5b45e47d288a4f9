"""Confines a forked process for good, after its fork and before the learner's code: what every level does, in order."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

from grader.sandbox import identity, kernel, landlock, seatbelt, seccomp
from grader.sandbox.files import DEVICES, of_proc
from grader.sandbox.levels import Level


@dataclass(frozen=True)
class Confinement:
    """What a program is confined to; travels from the launcher to the keeper as JSON.

    Attributes:
        own: the one folder that it may write to.
        read, names: files and folders to read, and folders to list, where the machine's file system stays in sight.
        mounts: what a box shows, each path with whether it is covered; see `bubblewrap.Box`.
        listen, connect: TCP ports.
        processes: how many processes and threads it may have.
        bwrap: the program that makes boxes, or "".
        temporary_mb: room in a box's memory file systems.
    """

    level: Level
    own: str
    read: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    mounts: tuple[tuple[str, bool], ...] = ()
    listen: tuple[int, ...] = ()
    connect: tuple[int, ...] = ()
    processes: int = 512
    bwrap: str = ""
    temporary_mb: int = 256

    @staticmethod
    def of(data: dict[str, Any]) -> Confinement:
        """From what `dataclasses.asdict` and JSON made of it."""
        lists = {key: tuple(value) for key, value in data.items() if isinstance(value, list)}
        mounts = tuple((str(path), bool(covered)) for path, covered in data["mounts"])
        return Confinement(**{**data, **lists, "level": Level(data["level"]), "mounts": mounts})


def confine(confinement: Confinement) -> None:
    """Confine this process; in a box already, where the level has one.

    Raises:
        OSError: the kernel refuses a part of it: the program must not run.
    """
    match confinement.level:
        case Level.LANDLOCK:
            version = landlock.abi()
            identity.limit_processes(confinement.processes, identity.running())
            libraries = [f"{prefix}/lib/python" for prefix in (sys.prefix, sys.base_prefix)]
            identity.become_nobody(confinement.own, (sys.executable, *libraries, confinement.own))
            _seal(_on_this_machine(confinement), seccomp.Policy(own_network=False, signals_only_to=_self(version)))
        case Level.BUBBLEWRAP:
            version = landlock.abi()
            identity.limit_processes(confinement.processes, 0)  # a box counts its own alone
            identity.become_nobody(confinement.own, ())
            rules = _in_a_box(confinement) if version else None
            _seal(rules, seccomp.Policy(own_network=True, signals_only_to=_self(version)))
        case Level.SEATBELT:
            seatbelt.restrict(seatbelt.profile(confinement))
        case _:
            pass
    kernel.die_with_parent(signal.SIGKILL)  # a change of user or namespace has cleared what was set


def _seal(rules: landlock.Rules | None, policy: seccomp.Policy) -> None:
    identity.settle()
    if rules:
        landlock.restrict(rules)
    seccomp.restrict(policy)


def _self(version: int) -> int:
    """Whom signals may reach where Landlock does not see to it."""
    return 0 if version >= landlock.SCOPES_SINCE else os.getpid()


def _on_this_machine(confinement: Confinement) -> landlock.Rules:
    return landlock.Rules(
        read=(*confinement.read, *of_proc(os.getpid())),
        names=confinement.names,
        write=(confinement.own,),
        devices=DEVICES,
        bind=confinement.listen,
        connect=(*confinement.connect, *confinement.listen),
    )


def _in_a_box(confinement: Confinement) -> landlock.Rules:
    from grader.sandbox.bubblewrap import TEMPORARY  # noqa: PLC0415 - only where there are boxes

    return landlock.Rules(read=("/",), write=(confinement.own, *TEMPORARY), devices=DEVICES)
