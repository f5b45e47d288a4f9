"""The corpus: one small program per attack, whose docstring says what it tries and what must come of it.

`programs/<kind>/<class>/<name>.py` (or a folder of that name, where more than one file is needed). The docstring's
first line says what it tries. Then, on lines of their own:

    must not pass          the work is not done: no trick may make it pass
    no effect              the work is right: it passes, and the attack changes, reads and reaches nothing
    gets through at: LEVEL the levels that do not claim to stop it, with a comma between them
    alone                  it could hurt others on this machine: it runs in process numbers (a pid namespace) of its own
    patient                it takes time to do harm: it gets that of right work, where others get little
    sample                 part of the quick battery
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from grader.sandbox import Level

LEVELS = (Level.PROCESS, Level.LANDLOCK, Level.BUBBLEWRAP)  # that attacks are run at, where this machine has them
PROGRAMS = Path(__file__).parent / "programs"
KINDS = Path(__file__).parent / "kinds"


class Expected(StrEnum):
    """What must come of an attack."""

    NOT_PASSED = "must not pass"
    NO_EFFECT = "no effect"


@dataclass(frozen=True)
class Attack:
    """One hostile program.

    Attributes:
        kind: folder under `kinds/` with the right answer that it builds on.
        family: its class, as in "early-exits".
        tries: one sentence.
        through: levels that do not claim to stop it.
        alone: it is run in a pid namespace of its own.
        patient: it is given as much time as right work.
        sample: it is part of the quick battery.
        path: its file, or the folder with its files.
    """

    name: str
    kind: str
    family: str
    tries: str
    expected: Expected
    through: frozenset[Level]
    alone: bool
    patient: bool
    sample: bool
    path: Path

    @property
    def id(self) -> str:
        """As tests name it."""
        return f"{self.kind}/{self.family}/{self.name}"

    def stopped_at(self, level: Level) -> bool:
        """Whether that level claims to stop it."""
        return level not in self.through


def read_attack(path: Path) -> Attack:
    """Read one program's docstring.

    Raises:
        ValueError: it does not say what it tries, or a line of it is unknown.
    """
    main = path / "__main__.py" if path.is_dir() else path
    doc = ast.get_docstring(ast.parse(main.read_text("utf-8"))) or ""
    tries, _, rest = doc.partition("\n")
    lines = [line.strip() for line in rest.splitlines() if line.strip()]
    expected = [line for line in lines if line in tuple(Expected)]
    through = [line.removeprefix("gets through at:") for line in lines if line.startswith("gets through at:")]
    flags = [line for line in lines if line in ("alone", "patient", "sample")]
    if not tries.endswith(".") or len(expected) != 1 or len(expected) + len(through) + len(flags) != len(lines):
        raise ValueError(f"{path} must say what it tries, what must come of it, and nothing unknown: {doc!r}")
    return Attack(
        name=path.stem,
        kind=path.parts[-3],
        family=path.parts[-2],
        tries=tries,
        expected=Expected(expected[0]),
        through=frozenset(Level(name.strip()) for line in through for name in line.split(",")),
        alone="alone" in flags,
        patient="patient" in flags or expected == [Expected.NO_EFFECT],
        sample="sample" in flags,
        path=path,
    )


def read_corpus() -> list[Attack]:
    """All attacks, in the order of their kinds, families and names."""
    paths = sorted(path for path in PROGRAMS.glob("*/*/*") if path.name != "__pycache__")
    return [read_attack(path) for path in paths]
