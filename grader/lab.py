"""Reads a lab's description strictly: an unknown key, a wrong type or a newer format is an error with a name."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import GraderFault, LearnerError, UsageError
from grader.strict_toml import Table, load

FORMAT = 1
OVERRIDE_BYTES = 16 * 1024
SPEAKS = ("http", "mcp-stdio", "mcp-http", "cli", "pytest")
WIRES = ("anthropic", "openai")
DIFFICULTIES = ("easy", "medium", "hard")
_FOLDER = re.compile(r"lab-(\d{2})-[a-z0-9-]+")


@dataclass(frozen=True)
class Task:
    """A part of the lab that earns points; checks name it by `id`."""

    id: str
    title: str
    points: int


@dataclass(frozen=True)
class Skill:
    """A skill that the lab teaches, with its priority in the plan (P0 first)."""

    skill: str
    priority: str


@dataclass(frozen=True)
class ProgramSpec:
    """How the learner's program is started.

    Attributes:
        entry: argv, never a shell string; "python" is the grader's own interpreter.
        speaks: how the grader talks to it.
        files: the allow-list, as globs relative to the lab's work folder.
        environment: variables that the brief promises beside the services' own.
        warm: modules imported once, before the program is forked, so that a start costs milliseconds.
        ready: for a service, the path that answers 200 once it is ready, at most `ready_seconds` after its start.
    """

    entry: tuple[str, ...]
    speaks: str
    files: tuple[str, ...]
    environment: dict[str, str]
    warm: tuple[str, ...]
    ready: str
    ready_seconds: int


@dataclass(frozen=True)
class Services:
    """What runs beside the program: wires that the model double must speak, and a database or not.

    `postgres_settings` are what sessions of the program's role start with, as in `enable_seqscan = "off"`;
    `postgres_mb` is how large its database may grow.
    """

    model: tuple[str, ...] = ()
    postgres: bool = False
    postgres_settings: dict[str, str] = field(default_factory=dict)
    postgres_mb: int = 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one run: `seconds` for all checks, `seconds_per_check` for one; `output_kb` is kept of each stream."""

    seconds: int
    seconds_per_check: int
    memory_mb: int
    output_kb: int


@dataclass(frozen=True)
class Lab:
    """One lab as its lab.toml describes it; `root` is the course's folder, `floor` the points its skeleton may have."""

    root: Path
    folder: str
    number: int
    title: str
    summary: str
    minutes: int
    difficulty: str
    stage: str
    teaches: tuple[Skill, ...]
    needs: tuple[str, ...]
    extras: tuple[str, ...]
    program: ProgramSpec
    services: Services
    limits: Limits
    tasks: tuple[Task, ...]
    floor: int = 0

    @property
    def name(self) -> str:
        """The short name, as in `lab-07`."""
        return f"lab-{self.number:02}"

    @property
    def home(self) -> Path:
        """The pristine folder: brief, hints, skeleton, examples."""
        return self.root / "labs" / self.folder

    @property
    def work(self) -> Path:
        """The learner's copy; absent until `grader start`."""
        return self.root / "work" / self.folder

    @property
    def solutions(self) -> Path:
        """Reference, also_right and wrong programs."""
        return self.root / "solutions" / self.folder

    @property
    def checks(self) -> Path:
        """The folder with the hidden checks."""
        return self.root / "grader" / "checks" / f"lab_{self.number:02}"


def find_course(start: Path, *, named: bool = False) -> Path:
    """The nearest folder at or above `start` that holds labs; else the checkout that this grader belongs to.

    Args:
        named: somebody asked for this folder: no other course is meant.

    Raises:
        UsageError: neither exists.
    """
    for folder in (start, *start.parents):
        if any((folder / "labs").glob("lab-*/lab.toml")):
            return folder
    own = Path(__file__).resolve().parent.parent
    if not named and (own / "labs").is_dir():
        return own
    raise UsageError(
        f"no course at or above {str(start)!r}",
        mend="Change into your checkout of the repository, or name it with --course DIR.",
        slug="no-course",
    )


def list_folders(root: Path) -> tuple[str, ...]:
    """Names of all lab folders, in the order of their numbers."""
    folders = (path.parent.name for path in (root / "labs").glob("lab-*/lab.toml"))
    return tuple(sorted(name for name in folders if _FOLDER.fullmatch(name)))


def find_lab(root: Path, name: str | None, cwd: Path) -> Lab:
    """The lab meant by `lab-07`, `7`, its folder's name, or, without a name, by the work folder one stands in.

    Raises:
        UsageError: no such lab, or no name and not inside `work/lab-NN-*`.
        GraderFault: its lab.toml is malformed.
    """
    folders = list_folders(root)
    if name is None:
        return read_lab(root, _folder_of(root, cwd, folders))
    wanted = name.strip().strip("/").lower()
    number = re.fullmatch(r"(?:lab-?)?0*(\d{1,2})", wanted)
    for folder in folders:
        if folder == wanted or (number and int(folder[4:6]) == int(number[1])):
            return read_lab(root, folder)
    close = difflib.get_close_matches(wanted, [*folders, *(folder[:6] for folder in folders)], n=1, cutoff=0.5)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    raise UsageError(
        f"there is no lab {name!r}",
        mend=f"{guess}`grader list` shows all labs.",
        slug="unknown-lab",
    )


def _folder_of(root: Path, cwd: Path, folders: tuple[str, ...]) -> str:
    work = (root / "work").resolve()
    here = cwd.resolve()
    if here.is_relative_to(work) and here != work and here.relative_to(work).parts[0] in folders:
        return here.relative_to(work).parts[0]
    raise UsageError(
        "no lab was named, and this folder is not inside work/lab-NN-…",
        mend="Name it, as in `grader check lab-07`, or change into its work folder.",
        slug="no-lab-named",
    )


def read_lab(root: Path, folder: str) -> Lab:
    """Read `labs/<folder>/lab.toml`.

    Raises:
        GraderFault: unreadable, an unknown or missing key, a wrong type or value, or a newer format.
    """
    path = root / "labs" / folder / "lab.toml"
    table = Table(load(path), str(path.relative_to(root)), "")
    form = table.take("format", int)
    if form != FORMAT:
        advice = "update the grader" if form > FORMAT else "see docs/writing-a-lab.md for what changed"
        raise GraderFault(
            f"{table.where} has format {form}, this grader reads {FORMAT}",
            mend=f"{advice[0].upper()}{advice[1:]}.",
            slug="lab-format",
        )
    lab = Lab(
        root=root,
        folder=folder,
        number=int(folder[4:6]),
        title=table.take("title", str),
        summary=table.take("summary", str),
        minutes=table.take("minutes", int),
        difficulty=table.choice("difficulty", DIFFICULTIES),
        stage=table.take("stage", str),
        teaches=tuple(_skill(item) for item in table.tables("teaches")),
        needs=table.strings("needs"),
        extras=table.strings("extras"),
        program=_program(table.table("program")),
        services=_services(table.table("services", required=False)),
        limits=_limits(table.table("limits")),
        tasks=tuple(_task(item) for item in table.tables("tasks")),
        floor=table.take("floor", int) if "floor" in table.data else 0,
    )
    table.done()
    _tasks_add_up(lab, table)
    return lab


def read_override(lab: Lab, folder: Path) -> tuple[str, ...] | None:
    """The argv of `lab.override.toml` in a work folder: a learner may answer in another language.

    Raises:
        LearnerError: it sets anything else than `entry`, or is longer than 16 KiB.
    """
    path = folder / "lab.override.toml"
    if not path.is_file() or path.is_symlink():
        return None
    if (size := path.stat().st_size) > OVERRIDE_BYTES:
        raise LearnerError(
            f"{path.name} is {size:,} bytes long",
            mend='It sets `entry = ["program", "argument"]` and nothing else.',
            slug="override",
        )
    try:
        table = Table(load(path), path.name, "")
        entry = table.strings("entry", required=True)
        table.done()
    except GraderFault as fault:
        raise LearnerError(
            fault.what, mend='It may set `entry = ["program", "argument"]` and nothing else.', slug="override"
        ) from fault
    if not entry:
        raise LearnerError(
            f"`entry` in {path.name} of {lab.name} is empty",
            mend='Write the argv of your program, as in `entry = ["java", "-jar", "service.jar"]`.',
            slug="override",
        )
    return entry


def _skill(table: Table) -> Skill:
    skill = Skill(table.take("skill", str), table.choice("priority", ("P0", "P1", "P2", "P3")))
    table.done()
    return skill


def _task(table: Table) -> Task:
    task = Task(table.take("id", str), table.take("title", str), table.take("points", int))
    table.done()
    return task


def _program(table: Table) -> ProgramSpec:
    environment = table.table("environment", required=False)
    program = ProgramSpec(
        entry=table.strings("entry", required=True),
        speaks=table.choice("speaks", SPEAKS),
        files=table.strings("files", required=True),
        environment={key: environment.take(key, str) for key in tuple(environment.data)},
        warm=table.strings("warm"),
        ready=table.take("ready", str) if "ready" in table.data else "/health",
        ready_seconds=table.take("ready_seconds", int) if "ready_seconds" in table.data else 20,
    )
    if not program.entry or not program.files:
        raise table.fault("`program.entry` and `program.files` must not be empty")
    table.done()
    return program


def _services(table: Table) -> Services:
    wires = table.strings("model")
    if unknown := set(wires) - set(WIRES):
        raise table.fault(f"`services.model` knows {', '.join(WIRES)}, not {', '.join(sorted(unknown))}")
    settings = table.table("postgres_settings", required=False)
    services = Services(
        model=wires,
        postgres=table.take("postgres", bool) if "postgres" in table.data else False,
        postgres_settings={key: settings.take(key, str) for key in tuple(settings.data)},
        postgres_mb=table.take("postgres_mb", int) if "postgres_mb" in table.data else 1024,
    )
    table.done()
    return services


def _limits(table: Table) -> Limits:
    limits = Limits(*(table.take(key, int) for key in ("seconds", "seconds_per_check", "memory_mb", "output_kb")))
    if min(limits.seconds, limits.seconds_per_check, limits.memory_mb, limits.output_kb) < 1:
        raise table.fault("every value in [limits] must be at least 1")
    table.done()
    return limits


def _tasks_add_up(lab: Lab, table: Table) -> None:
    ids = [task.id for task in lab.tasks]
    if len(set(ids)) != len(ids):
        raise table.fault("two [[tasks]] have the same id")
    if (total := sum(task.points for task in lab.tasks)) != 100 or any(task.points < 1 for task in lab.tasks):
        raise table.fault(f"the points of all [[tasks]] must add up to 100, they make {total}")
