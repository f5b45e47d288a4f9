"""Proves that a lab's checks tell right programs from wrong ones, and refuses the lab where they do not."""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from grader.errors import EXIT_NOT_GRADED, EXIT_NOT_YET, EXIT_PASSED, GraderError, GraderFault
from grader.lab import Lab, find_lab, list_folders
from grader.lab_pages import page_problems
from grader.private_folder import private_folder
from grader.run import LabResult, Request, check_lab, new_seed
from grader.sandbox.choose import choose
from grader.sandbox.launcher import Warden
from grader.session.supervise import WARM
from grader.verdict import Verdict

Say = Callable[[str], None]
_CAUGHT = (Verdict.FAILED, Verdict.CRASHED, Verdict.TIMED_OUT)


class Kind(StrEnum):
    """What a program is expected to be; the name of its folder."""

    SKELETON = "skeleton"
    REFERENCE = "reference"
    ALSO_RIGHT = "also_right"
    WRONG = "wrong"


@dataclass(frozen=True)
class Depth:
    """How much is run: quick runs a wrong program against the checks it declares, full against all; with N seeds."""

    full: bool = False
    seeds: int = 1


@dataclass(frozen=True)
class Candidate:
    """One program of a lab with what is expected of it.

    Attributes:
        label: as in "wrong/post-filter".
        overlay: for a wrong program, the files laid over the reference.
        fails, may_fail: for a wrong program, the checks that must catch it, and those that may.
    """

    kind: Kind
    label: str
    source: Path
    overlay: Path | None = None
    fails: tuple[str, ...] = ()
    may_fail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """What wrong.toml says of one program: checks that must catch it, and checks that may, by what else is stored."""

    fails: tuple[str, ...] = ()
    may_fail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One candidate graded with one seed: a result, or the error that kept it from being graded."""

    candidate: Candidate
    seed: int
    result: LabResult | None
    error: str = ""


def verify(root: Path, names: Sequence[str], *, depth: Depth, seed: int | None, jobs: int, say: Say) -> int:
    """Verify labs; prints a line per program and then every problem with what to do. Exit code 0, 1 or 3."""
    folders = [find_lab(root, name, Path.cwd()) for name in names or list_folders(root)]
    worst = EXIT_PASSED
    for lab in folders:
        first = new_seed() if seed is None else seed
        say(f"{lab.name}  {'full' if depth.full else 'quick'}, seed {first}")
        began = time.monotonic()
        trials = _try_all(lab, depth, first, jobs, say)
        problems = [*page_problems(lab), *_unproven(lab), *_all_problems(lab, trials, full=depth.full)]
        for problem in problems:
            say(f"  refused: {problem}")
        count = f"{len(problems) or 'no'} problem{'s' * (len(problems) != 1)}"
        say(f"{lab.name}  {count} · {time.monotonic() - began:.0f} s")
        if any(trial.error for trial in trials):
            worst = EXIT_NOT_GRADED
        elif problems and worst == EXIT_PASSED:
            worst = EXIT_NOT_YET
    return worst


def candidates(lab: Lab) -> list[Candidate]:
    """Every program of the lab's solutions, the skeleton first.

    Raises:
        GraderFault: wrong.toml is malformed, or does not match the folders under wrong/.
    """
    reference = lab.solutions / "reference"
    found = [
        Candidate(Kind.SKELETON, "skeleton", lab.home / "skeleton"),
        Candidate(Kind.REFERENCE, "reference", reference),
    ]
    found += [
        Candidate(Kind.ALSO_RIGHT, f"also_right/{folder.name}", folder)
        for folder in _folders(lab.solutions / "also_right")
    ]
    declared = read_wrong(lab)
    found += [
        Candidate(Kind.WRONG, f"wrong/{folder.name}", reference, folder, said.fails, said.may_fail)
        for folder in _folders(lab.solutions / "wrong")
        for said in [declared.pop(folder.name, Declared())]
    ]
    if declared:
        raise _wrong_invalid(lab, f"it declares {', '.join(sorted(declared))}, which has no folder under wrong/")
    return found


def read_wrong(lab: Lab) -> dict[str, Declared]:
    """Which checks each wrong program declares to be caught by.

    Raises:
        GraderFault: unreadable or malformed.
    """
    path = lab.solutions / "wrong.toml"
    if not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong_invalid(lab, str(error)) from error
    return {name: _declared(lab, name, table) for name, table in tables.items()}


def _declared(lab: Lab, name: str, table: object) -> Declared:
    match table:
        case {"mistake": str(mistake), "fails": list(fails), **rest} if mistake and set(rest) <= {"may_fail"}:
            may_fail = rest.get("may_fail", [])
            if isinstance(may_fail, list) and all(isinstance(check, str) for check in (*fails, *may_fail)):
                return Declared(tuple(fails), tuple(may_fail))
    raise _wrong_invalid(
        lab, f'[{name}] needs `mistake = "one sentence"` and `fails = ["check", …]`, and may have `may_fail = […]`'
    )


def _try_all(lab: Lab, depth: Depth, first: int, jobs: int, say: Say) -> list[Trial]:
    """Grade every candidate with every seed, `jobs` side by side, on one warm warden."""
    work = [(candidate, first + index) for index in range(depth.seeds) for candidate in candidates(lab)]
    # Right programs run everything and take longest: started first, they overlap with the many short ones.
    work.sort(key=lambda item: item[0].kind is Kind.WRONG)
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        (folder / "s").mkdir()
        if lab.services.postgres:
            # Leased here, the server is ours; started by a session, it would be swept away with that session.
            from grader.services.postgres import lease  # noqa: PLC0415 - labs without a database never load psycopg

            stack.enter_context(lease(f"verify {lab.name}"))
        isolation = choose()
        programs = stack.enter_context(Warden(folder, lab.program.warm))
        sessions = stack.enter_context(Warden(folder / "s", WARM))
        stopping = threading.Event()

        def trial(item: tuple[Candidate, int]) -> Trial:
            candidate, seed = item
            # Quick: a wrong program meets only the checks that it declares, and those that must pass before them.
            only = () if depth.full or candidate.kind is not Kind.WRONG else candidate.fails
            request = Request(
                lab,
                candidate.source,
                candidate.label,
                seed,
                candidate.overlay,
                only,
                isolation=isolation,
                warden=programs.path,
                session_warden=sessions.path,
            )
            outcome = _try(candidate, request)
            if not stopping.is_set():
                say(f"  {_line(outcome)}")
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            try:
                return _results([pool.submit(trial, item) for item in work])
            except KeyboardInterrupt:
                stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                sessions.close()  # with it what runs now: nobody waits for its end
                raise


def _results(futures: list[Future[Trial]]) -> list[Trial]:
    """All results in their order, or the first error; a signal that comes just before a wait is heard behind it."""
    while True:
        done, running = wait(futures, timeout=1, return_when=FIRST_EXCEPTION)
        if not running or any(future.exception() for future in done):
            return [future.result() for future in (futures if not running else done)]


def _try(candidate: Candidate, request: Request) -> Trial:
    try:
        return Trial(candidate, request.seed, check_lab(request, lambda _event: None))
    except GraderError as error:
        return Trial(candidate, request.seed, None, f"{error.what} ({error.slug})")


def _line(trial: Trial) -> str:
    label = f"{trial.candidate.label:<34}"
    if trial.result is None:
        return f"{label} could not be graded: {trial.error}"
    caught = [item.check.name for item in trial.result.checks if item.verdict in _CAUGHT]
    said = f"{trial.result.score.shown:>4} points" if not trial.candidate.overlay else ", ".join(caught) or "not caught"
    return f"{label} {said}  {trial.result.seconds:.1f} s"


def _all_problems(lab: Lab, trials: Sequence[Trial], *, full: bool) -> list[str]:
    problems = [problem for trial in trials for problem in _problems(lab, trial, full=full)]
    return [*problems, *_never_tripped(trials), *_flakes(trials)]


def _problems(lab: Lab, trial: Trial, *, full: bool) -> list[str]:
    label, result = f"{trial.candidate.label} (seed {trial.seed})", trial.result
    if result is None:
        return [f"{label} could not be graded: {trial.error}"]
    broken = [item for item in result.checks if item.verdict is Verdict.GRADER_ERROR]
    if broken:
        message = broken[0].failure.message if broken[0].failure else ""
        return [f"{label}: `{broken[0].check.name}` broke in the grader's own code: {message}"]
    match trial.candidate.kind:
        case Kind.SKELETON:
            if result.score.earned > lab.floor:
                passed = [item.check.name for item in result.checks if item.verdict is Verdict.PASSED]
                earned = f"the skeleton earns {result.score.shown} points, its floor is {lab.floor}"
                mend = "Make these checks need the learner's work, or raise `floor` in lab.toml."
                return [f"{earned}: it passes {', '.join(passed)}. {mend}"]
        case Kind.REFERENCE | Kind.ALSO_RIGHT:
            return [
                f"{label} must pass `{item.check.name}`, but: {item.failure.message if item.failure else item.verdict}"
                + (f" (observed {item.failure.observed})" if item.failure and item.failure.observed else "")
                for item in result.checks
                if item.verdict is not Verdict.PASSED
            ]
        case Kind.WRONG:
            return _wrong_problems(label, trial.candidate, result, full=full)
    return []


def _wrong_problems(label: str, candidate: Candidate, result: LabResult, *, full: bool) -> list[str]:
    if not candidate.fails:
        return [f"{label} declares no check that catches it: add `fails` for it in wrong.toml"]
    verdicts = {item.check.name: item.verdict for item in result.checks}
    problems = [
        f"{label} declares `{name}`, which no check is called" for name in candidate.fails if name not in verdicts
    ]
    for name, verdict in verdicts.items():
        if name in candidate.fails and verdict is Verdict.PASSED:
            problems.append(f"{label} should be caught by `{name}`, which passes it: sharpen the check")
        elif name in candidate.fails and verdict is Verdict.BLOCKED:
            problems.append(f"{label} declares `{name}`, which is blocked for it: declare the check before it instead")
        elif name not in (*candidate.fails, *candidate.may_fail) and verdict in _CAUGHT:
            where = "in full" if full else "before it"
            problems.append(f"{label} is also caught {where} by `{name}`: declare it, or make the mistake smaller")
    return problems


def _never_tripped(trials: Sequence[Trial]) -> list[str]:
    """Checks that no wrong program trips: nothing shows that they can fail."""
    known = [
        item.check.name
        for trial in trials
        if trial.result and trial.candidate.kind is Kind.REFERENCE
        for item in trial.result.checks
    ]
    tripped = {
        item.check.name
        for trial in trials
        if trial.result and trial.candidate.kind is Kind.WRONG
        for item in trial.result.checks
        if item.verdict in _CAUGHT
    }
    return [
        f"no wrong program trips `{name}`: add one under wrong/ that makes this mistake"
        for name in dict.fromkeys(known)
        if name not in tripped
    ]


def _flakes(trials: Sequence[Trial]) -> list[str]:
    """Checks whose verdict on one program changed with the seed."""
    seen: dict[tuple[str, str], dict[Verdict, int]] = {}
    for trial in trials:
        for item in trial.result.checks if trial.result else ():
            seen.setdefault((trial.candidate.label, item.check.name), {}).setdefault(item.verdict, trial.seed)
    return [
        f"flake: `{check}` on {label}: "
        + ", ".join(f"{verdict} with seed {seed}" for verdict, seed in verdicts.items())
        for (label, check), verdicts in seen.items()
        if len(verdicts) > 1
    ]


def _unproven(lab: Lab) -> list[str]:
    """Kinds of program that are missing altogether."""
    return [
        f"{lab.name} has no {what}: checks without it are unproven"
        for what, folder in (
            ("reference", "reference"),
            ("also_right programs", "also_right"),
            ("wrong programs", "wrong"),
        )
        if not (lab.solutions / folder).is_dir()
    ]


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _wrong_invalid(lab: Lab, what: str) -> GraderFault:
    return GraderFault(
        f"solutions/{lab.folder}/wrong.toml: {what}",
        mend="docs/writing-a-lab.md says how wrong programs are declared.",
        slug="wrong-invalid",
    )
