"""Grades an attack with a real run at one level and says what it got; many side by side, on warm wardens."""

from __future__ import annotations

import functools
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from rich.console import Console

from grader.errors import GraderError
from grader.lab import Lab, list_folders, read_lab
from grader.report import json_file
from grader.report.terminal import TerminalReport
from grader.run import LabResult, Request, check_lab
from grader.sandbox import Isolation, Level
from grader.sandbox.attack import attack as attack_level
from grader.sandbox.launcher import Warden
from grader.verdict import Verdict
from tests.attacks.attack import KINDS, Attack, Expected
from tests.attacks.host import Host

TOY = Path(__file__).parent.parent / "toy_course"
# The toy lab that each kind of program is graded by.
LABS = {"http": "lab-01", "ledger": "lab-02", "cli": "lab-03", "mcp-stdio": "lab-04", "mcp-http": "lab-05"}
LABS["pytest"] = "lab-06"
# A check that asks the program what its attack got hold of: the channel that every level leaves open.
_LOOT_CHECK = '''"""Asks an attack for its loot."""

from grader.checking import Stage, check, note


@check(task="{task}", seconds=30)
def tells_its_loot(stage: Stage) -> None:
    """What the attack got hold of"""
    for item in {ask}:
        note("loot: " + str(item))
'''
_ASK = {
    "http": 'stage.program.get("/loot").json()',
    "mcp-http": 'stage.program.get("/loot").json()',
    "cli": 'stage.command.run("loot").json()',
    "mcp-stdio": 'stage.mcp.request("loot").result',
}
SESSIONS_WARM = ("grader.session.plugin", "grader.session.process", "grader.services.postgres")
ALONE_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What came of one attack at one level.

    Attributes:
        exit_code: of the run; 3 also where nothing could be graded.
        said: verdicts and messages, for whoever reads a failed test.
        breaches: what it got hold of.
        report: the run's report as a terminal without colours and a JSON file show it.
    """

    exit_code: int
    said: str
    breaches: tuple[str, ...] = ()
    report: str = ""


def problems(attack: Attack, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome; empty when the attack came to nothing."""
    found = [f"active text in the report: {line!r}" for line in active_lines(outcome.report)]
    if attack.expected is Expected.NOT_PASSED and outcome.exit_code != 1:
        found.append(f"the run must end with 1, not yet, but ended with {outcome.exit_code}")
    if attack.expected is Expected.NO_EFFECT:
        found += outcome.breaches
        if outcome.exit_code != 0:
            found.append(f"its work is right and must pass, but the run ended with {outcome.exit_code}")
    return [f"{problem}\n{outcome.said}" for problem in found]


def active_lines(report: str) -> list[str]:
    """Lines of a report that a terminal or a CI log would act upon."""
    return [line for line in report.split("\n") if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|^\s*(::|##\[)", line)]


class Battery:
    """Wardens that are warm, shared by all attacks that are run here."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="at-")))
        self._lock = threading.Lock()
        self._made = 0
        for name in ("p", "s"):
            (self._folder / name).mkdir()
        self._programs = self._stack.enter_context(Warden(self._folder / "p")).path
        self._sessions = self._stack.enter_context(Warden(self._folder / "s", SESSIONS_WARM)).path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, attack: Attack, level: Level) -> Outcome:
        """Grade the attack; one that could hurt others runs in a process of its own, with its own process numbers."""
        if attack.alone:
            return run_alone(attack, level)
        return self.run_here(attack, level)

    def run_here(self, attack: Attack, level: Level) -> Outcome:
        """Grade the attack in this process."""
        with self._lock:
            self._made += 1
            folder = self._folder / str(self._made)
        folder.mkdir()
        try:
            lab = _course(attack, folder)
            with Host(folder, lab.checks, lab.solutions / "reference") as host:
                _submission(attack, folder / "submission", host)
                lab = replace(lab, program=replace(lab.program, environment={
                    **lab.program.environment, "TOKEN": host.token}))  # fmt: skip
                request = Request(
                    lab,
                    folder / "submission",
                    "attack",
                    1,
                    only=_only(attack),
                    isolation=Isolation.chosen(level),
                    warden=self._programs,
                    session_warden=self._sessions,
                )
                return _outcome(attack, request, host)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _outcome(attack: Attack, request: Request, host: Host) -> Outcome:
    try:
        result = check_lab(request, lambda _event: None)
    except GraderError as error:
        return Outcome(error.exit_code, str(error), tuple(host.breaches([])))
    loot = [text.removeprefix("loot: ") for item in result.checks for text in item.notes if text.startswith("loot: ")]
    said = "\n".join(
        f"{item.check.name}: {item.verdict} {item.failure or ''}"[:1500]
        for item in result.checks
        if item.verdict is not Verdict.PASSED
    )
    breaches = host.breaches(loot) if attack.expected is Expected.NO_EFFECT else []
    return Outcome(result.exit_code, said, tuple(breaches), _rendered(result))


def _rendered(result: LabResult) -> str:
    page = io.StringIO()
    report = TerminalReport(console=Console(file=page, width=100, no_color=True, highlight=False, soft_wrap=True))
    for item in result.checks:
        report._line(item)
    report.end(result, "next")
    return page.getvalue() + json_file.render(result)


def _only(attack: Attack) -> tuple[str, ...]:
    if attack.expected is Expected.NOT_PASSED or attack.kind == "pytest":
        return ()
    return ("tells_its_loot", {"http": "echoes_text", "cli": "adds_up", "ledger": "ledger"}.get(attack.kind, "count"))


def _course(attack: Attack, folder: Path) -> Lab:
    """A course of the attack's own with its lab only, and a check that asks for the loot.

    Right work gets time enough for a slow machine; a program that hangs shall not take long.
    """
    course = folder / "course"
    number = LABS[attack.kind][-2:]
    (name,) = (name for name in list_folders(TOY) if name[4:6] == number)
    for place in (f"labs/{name}", f"grader/checks/lab_{number}", f"solutions/{name}"):
        shutil.copytree(TOY / place, course / place, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, course, *course.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    lab = read_lab(course, name)
    limits = replace(lab.limits, seconds_per_check=2)
    ready = 4
    if attack.patient:
        limits, ready = replace(lab.limits, seconds=240, seconds_per_check=30), 40
    files = ("**/*",)  # whatever the attack brings: what is never staged must be refused by name
    if attack.kind != "pytest":
        ask = _ASK.get(attack.kind, _ASK["http"])
        if attack.expected is Expected.NO_EFFECT:
            text = _LOOT_CHECK.format(task=lab.tasks[0].id, ask=ask)
            (lab.checks / "checks_loot.py").write_text(text, "utf-8")
    return replace(lab, limits=limits, program=replace(lab.program, ready_seconds=ready, files=files))


def _submission(attack: Attack, folder: Path, host: Host) -> None:
    """The kind's right answer, with the attack as its main module and the host's targets beside it."""
    shutil.copytree(KINDS / attack.kind, folder)
    shutil.copyfile(KINDS / "host.py", folder / "host.py")
    (folder / "targets.json").write_text(json.dumps(host.targets), "utf-8")
    (package,) = (path for path in folder.iterdir() if path.is_dir())
    main = "test_it.py" if attack.kind == "pytest" else "__main__.py"
    if attack.path.is_dir():
        shutil.copytree(attack.path, package, dirs_exist_ok=True)
        for path in (attack.path / "top").glob("*"):
            shutil.copyfile(path, folder / path.name)
    else:
        shutil.copyfile(attack.path, package / main)


def run_alone(attack: Attack, level: Level) -> Outcome:
    """Grade the attack as process 1 of a pid namespace: what it kills or starts is nobody else's, and dies with it."""
    argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    argv += [sys.executable, "-m", "tests.attacks.alone", attack.id, level]
    root = TOY.parent.parent
    ended = subprocess.run(argv, capture_output=True, text=True, cwd=root, timeout=ALONE_SECONDS, check=False)
    try:
        answer = json.loads(ended.stdout)
    except ValueError:
        return Outcome(3, f"it ended with {ended.returncode}: {ended.stdout[-500:]} {ended.stderr[-1500:]}")
    return Outcome(**{**answer, "breaches": tuple(answer["breaches"])})


def can_run_alone() -> bool:
    """Whether this machine gives us a pid namespace (as root, or in a user namespace)."""
    probe = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True, check=False).returncode == 0
    )


@functools.cache
def is_had(level: Level) -> bool:
    """Whether this machine has a level: it withstands the attack that chooses levels."""
    return level is Level.PROCESS or not attack_level(level).weak
