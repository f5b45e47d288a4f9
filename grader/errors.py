"""Every way a run can end early, as one tree with a slug per error that docs/errors.md explains.

GraderError
├── UsageError        exit 2   the command line asks for something that does not exist or contradicts itself
├── LearnerError      exit 1   the learner's files cannot be graded as they are
└── EnvironmentFault  exit 3   this machine cannot grade now (no database, full disk, port taken)
    └── GraderFault   exit 3   our own mistake; never counted against the learner
"""

from __future__ import annotations

from typing import ClassVar

EXIT_PASSED = 0
EXIT_NOT_YET = 1
EXIT_USAGE = 2
EXIT_NOT_GRADED = 3
EXIT_SIGNAL = 128  # and the number of the signal that ended the command, as shells do


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end: Ctrl-C, `kill`, or a terminal that was closed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class GraderError(Exception):
    """An error that ends the command with a message of ours.

    Args:
        what: what happened, with the value in quotes.
        mend: what to do now, as a sentence or a command.
        slug: the heading in docs/errors.md that explains it.
    """

    exit_code: ClassVar[int] = EXIT_NOT_GRADED

    def __init__(self, what: str, *, mend: str, slug: str) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.slug = slug

    def __str__(self) -> str:
        return f"{self.what}\n  {self.mend}\n  more: docs/errors.md#{self.slug}"


class UsageError(GraderError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = EXIT_USAGE


class LearnerError(GraderError):
    """The learner's files cannot be graded as they are."""

    exit_code = EXIT_NOT_YET


class EnvironmentFault(GraderError):  # noqa: N818 - the three kinds are named after whose fault it is
    """This machine cannot grade now."""


class GraderFault(EnvironmentFault):
    """Our own mistake: never counted against the learner."""
