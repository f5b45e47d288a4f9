"""How strongly a program is kept from the rest of the machine: the levels, and which one a run has and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What stands between a program and the machine; docs/isolation.md says what each stops."""

    PROCESS = "process"  # a process of its own with limits: practice, unsandboxed
    SEATBELT = "seatbelt"  # macOS: a sandbox profile
    LANDLOCK = "landlock"  # Linux: Landlock, seccomp, and a user id of its own where the grader is root
    BUBBLEWRAP = "bubblewrap"  # Linux: namespaces made by bwrap, and all of the above inside
    CONTAINER = "container"  # one of the above inside a container that exists for this one submission

    def reaches(self, wanted: Level) -> bool:
        """Whether this level is as strong as `wanted`."""
        return _STRENGTH[self] >= _STRENGTH[wanted]

    @property
    def label(self) -> str:
        """As a report names it."""
        return "process only: practice, unsandboxed" if self is Level.PROCESS else self.value


_STRENGTH = {
    Level.PROCESS: 0,
    Level.SEATBELT: 1,
    Level.LANDLOCK: 1,
    Level.BUBBLEWRAP: 2,
    Level.CONTAINER: 3,
}


@dataclass(frozen=True)
class Trial:
    """A level that was attacked: `weak` names what got through, or why the level could not be had; empty: it held."""

    level: Level
    weak: tuple[str, ...]


@dataclass(frozen=True)
class Isolation:
    """The level of a run.

    Attributes:
        level: what reports name.
        mechanism: how each program is confined; inside a container one of the other levels.
        reason: why it is not stronger, "" where it is the strongest.
        mend: the exact command or setting that would make it stronger, or "".
        tried: the levels that were attacked to find this one, the strongest first.
    """

    level: Level
    mechanism: Level
    reason: str = ""
    mend: str = ""
    tried: tuple[Trial, ...] = ()

    @staticmethod
    def chosen(level: Level) -> Isolation:
        """A level that somebody asked for by name, whether it holds or not."""
        return Isolation(level, level, "chosen with --isolation")

    @property
    def official(self) -> bool:
        """Whether a verdict at this level counts for others: the machine's owner is not the learner."""
        return self.level is Level.CONTAINER


UNSANDBOXED = Isolation.chosen(Level.PROCESS)
