"""One run from start to finish: read this first.

stage the files → check them in a session of its own → score the verdicts → keep what was on the wire
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from grader import __version__
from grader.errors import EXIT_NOT_GRADED, EXIT_NOT_YET, EXIT_PASSED, EXIT_SIGNAL, GraderFault, UsageError
from grader.lab import Lab, read_override
from grader.private_folder import private_folder
from grader.recordings import keep, place_for
from grader.sandbox.levels import UNSANDBOXED, Isolation
from grader.score import Score, score
from grader.session.events import SessionSpec
from grader.session.supervise import Listener, SessionEnd, run_session
from grader.submission import Submission, copy_tree, stage, write_fault
from grader.verdict import CheckResult, Verdict


@dataclass(frozen=True)
class Request:
    """What to grade and how.

    Attributes:
        source: folder with the files to grade.
        label: what the report calls it, as in "work/lab-07-…" or "reference".
        overlay: files laid over a copy of `source` first (a wrong program holds only what differs), or None.
        only: names of checks or tasks; empty for all.
        isolation: how its programs are confined.
        warden: socket of a warden that starts programs and is warm, or "".
        session_warden: the same for checking sessions; never the same warden: it holds the checks' modules.
    """

    lab: Lab
    source: Path
    label: str
    seed: int
    overlay: Path | None = None
    only: tuple[str, ...] = ()
    keep: bool = False
    isolation: Isolation = UNSANDBOXED
    warden: str = ""
    session_warden: str = ""


@dataclass(frozen=True)
class LabResult:
    """One finished run, everything that a report shows; `interrupted` is the signal that cut it short, or 0."""

    lab: str
    folder: str
    title: str
    label: str
    seed: int
    isolation: Isolation
    checks: tuple[CheckResult, ...]
    score: Score
    seconds: float
    submission_digest: str
    checks_digest: str
    kept: str = ""
    interrupted: int = 0
    grader_version: str = field(default=__version__)

    @property
    def again(self) -> str:
        """The command that grades the same files with the same inputs."""
        what = {"reference": " --reference", f"work/{self.folder}": ""}.get(
            self.label, f" --path {shlex.quote(self.label)}"
        )
        return f"grader check {self.lab}{what} --seed {self.seed}"

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 not yet, 3 something not graded and nothing failed, 128 and the signal when interrupted."""
        if self.interrupted:
            return EXIT_SIGNAL + self.interrupted
        verdicts = {result.verdict for result in self.checks}
        if verdicts & {Verdict.FAILED, Verdict.CRASHED, Verdict.TIMED_OUT}:
            return EXIT_NOT_YET  # whatever else could not be graded: there is work to do
        return EXIT_PASSED if verdicts == {Verdict.PASSED} else EXIT_NOT_GRADED


def new_seed() -> int:
    """A seed short enough to type again."""
    return secrets.randbelow(1_000_000)


def find_source(lab: Lab, *, reference: bool, path: str | None) -> tuple[Path, str]:
    """The folder to grade and what to call it: the learner's work, the reference, or `--path`.

    Raises:
        UsageError: the lab has not been started, or both options are given.
    """
    if reference and path:
        raise UsageError("--reference and --path contradict each other", mend="Give one of them.", slug="contradiction")
    if reference:
        return lab.solutions / "reference", "reference"
    if path:
        return Path(path).expanduser().absolute(), path
    if not lab.work.is_dir():
        raise UsageError(
            f"there is no work/{lab.folder} yet",
            mend=f"`grader start {lab.name}` makes it from the skeleton.",
            slug="not-started",
        )
    return lab.work, f"work/{lab.folder}"


def check_lab(request: Request, listen: Listener) -> LabResult:
    """Grade one submission; `listen` hears every event as it happens.

    Raises:
        GraderError: nothing could be graded (see its tree for whose fault that is).
    """
    began = time.monotonic()
    with private_folder(keep=request.keep) as folder:
        submission = _staged(request, folder)
        spec = _spec(request, submission, folder)
        end = run_session(spec, folder, listen, warden=request.session_warden)
        keep(Path(spec.wire_file), request.lab)
    return _result(request, end, submission, time.monotonic() - began, str(folder) if request.keep else "")


def _staged(request: Request, folder: Path) -> Submission:
    source = request.source
    if request.overlay:
        source = folder / "overlaid"
        copy_tree(request.source, source)
        copy_tree(request.overlay, source)
    try:
        (folder / "scratch").mkdir()
    except OSError as error:
        raise write_fault(folder, error) from error
    return stage(source, folder / "submission", request.lab.program.files)


def _spec(request: Request, submission: Submission, folder: Path) -> SessionSpec:
    lab = request.lab
    if not lab.checks.is_dir():
        raise GraderFault(
            f"{lab.name} has no checks at {str(lab.checks)!r}",
            mend="`git checkout -- grader` restores them.",
            slug="no-checks",
        )
    return SessionSpec(
        lab=lab.name,
        checks=str(lab.checks),
        submission=str(submission.folder),
        scratch=str(folder / "scratch"),
        argv=_argv(read_override(lab, request.source) or lab.program.entry),
        speaks=lab.program.speaks,
        environment=dict(lab.program.environment),
        warm=lab.program.warm,
        ready=lab.program.ready,
        ready_seconds=lab.program.ready_seconds,
        wires=lab.services.model,
        postgres=lab.services.postgres,
        postgres_settings=dict(lab.services.postgres_settings),
        postgres_mb=lab.services.postgres_mb,
        tasks=tuple(task.id for task in lab.tasks),
        only=request.only,
        seed=request.seed,
        seconds=lab.limits.seconds,
        seconds_per_check=lab.limits.seconds_per_check,
        memory_mb=lab.limits.memory_mb,
        output_kb=lab.limits.output_kb,
        level=request.isolation.mechanism,
        warden=request.warden,
        wire_file=str(place_for(lab, otherwise=folder)),
    )


def _argv(entry: tuple[str, ...]) -> tuple[str, ...]:
    """`python` is the interpreter that runs the grader: the lab's libraries are installed there."""
    return (sys.executable, *entry[1:]) if entry[0] in ("python", "python3") else entry


def _result(request: Request, end: SessionEnd, submission: Submission, seconds: float, kept: str) -> LabResult:
    lab = request.lab
    return LabResult(
        lab=lab.name,
        folder=lab.folder,
        title=lab.title,
        label=request.label,
        seed=request.seed,
        isolation=request.isolation,
        checks=end.results,
        score=score([(task.id, task.title, task.points) for task in lab.tasks], end.results, end.planned.all_checks),
        seconds=seconds,
        submission_digest=submission.digest,
        checks_digest=digest_of(lab.checks),
        kept=kept,
        interrupted=end.interrupted,
    )


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of a trusted folder: says which checks a report was made with."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
