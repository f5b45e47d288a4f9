"""Kill -9 of any of our processes at any moment, and Ctrl-C: no program lives on, nothing that was graded is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import TOY

GRADER = (sys.executable, "-I", "-m", "grader")
# What is promised is 2 seconds on a machine that is not busy with other things.
PROMISED_SECONDS = 2.0
# Signals that a moment has come, and stays there until it is killed or let go.
_STAY = "open({fifo!r}, 'w').write('now'); open({fifo!r} + '.go').read(1)"
SECOND = "greets_from_the_environment"


@dataclass(frozen=True)
class Moment:
    """A moment of a run: how it is made to stay there, and how many checks are planned and graded by then."""

    prepare: Callable[[Path, str], None]
    planned: int
    graded: int


def _before_its_start(course: Path, stay: str) -> None:
    (course / "grader" / "checks" / "lab_01" / "conftest.py").write_text(f'"""Blocks."""\n{stay}\n', "utf-8")


def _while_it_starts(course: Path, stay: str) -> None:
    (course / "work" / "lab-01-echo" / "echo" / "__main__.py").write_text(stay, "utf-8")


def _in_a_check(course: Path, stay: str) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    before = "    expect_equal(stage.program.get"
    text = checks.read_text("utf-8")
    assert before in text
    checks.write_text(text.replace(before, f"    {stay}\n{before}"), "utf-8")


def _while_it_reports(course: Path, stay: str) -> None:
    hook = f'"""Stays when all verdicts are in."""\n\n\ndef pytest_sessionfinish():\n    {stay}\n'
    (course / "grader" / "checks" / "lab_01" / "conftest.py").write_text(hook, "utf-8")


MOMENTS = {
    "before_its_start": Moment(_before_its_start, 0, 0),
    "while_it_starts": Moment(_while_it_starts, 2, 0),
    "in_a_check": Moment(_in_a_check, 2, 1),
    "while_it_reports": Moment(_while_it_reports, 2, 2),
}


class Run:
    """A run of the toy lab that has been brought to a moment and stays there.

    Attributes:
        victims: our processes by their names.
        learners: processes of the learner's program.
    """

    def __init__(self, course: Path, place: Path, moment: Moment) -> None:
        self.course, self.place = course, place
        self.report = place.parent / "report.json"
        fifo = place.parent / "moment"
        os.mkfifo(fifo)
        os.mkfifo(f"{fifo}.go")
        self._go = os.open(f"{fifo}.go", os.O_RDWR)
        work = course / "work" / "lab-01-echo"
        shutil.copytree(course / "solutions" / "lab-01-echo" / "reference", work)
        moment.prepare(course, _STAY.format(fifo=str(fifo)))
        # A confined program could not signal; the other moments are brought about at the strongest level there is.
        level = ("--isolation", "process") if moment.prepare is _while_it_starts else ()
        self.process = self.grader("check", "1", "--json", str(self.report), *level)
        with fifo.open() as signalled:
            signalled.read(3)
        self.printed = ""
        while self.printed.count("✓") < moment.graded:  # the command has heard of what was graded
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, self.printed
            self.printed += line
        command = psutil.Process(self.process.pid)
        (session,) = command.children()
        self.started = command.children(recursive=True)
        self.victims = {"command": command, "session": session}
        self.learners: list[psutil.Process] = []
        for warden in session.children():
            self.victims["warden"] = warden
            for keeper in warden.children():
                self.victims["keeper"] = keeper
                self.learners += keeper.children(recursive=True)

    def grader(self, *argv: str) -> subprocess.Popen[str]:
        """Start the command on the toy course."""
        environment = {**os.environ, "TMPDIR": str(self.place), "COLUMNS": "200"}
        command = [*GRADER, "--course", str(self.course), *argv]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def let_go(self) -> None:
        """Whoever still stays goes on."""
        os.write(self._go, b"go on")

    def close(self) -> None:
        """End whatever a failed test has left."""
        self.process.kill()
        self.process.communicate()
        os.close(self._go)

    def next_run(self) -> str:
        """What the next run prints, with checks that do not stay anywhere."""
        shutil.rmtree(self.course / "grader")
        shutil.copytree(TOY / "grader", self.course / "grader", ignore=shutil.ignore_patterns("__pycache__"))
        with self.grader("check", "1", "--reference", "--only", "echoes_text") as again:
            return again.communicate(timeout=60)[0]

    def expect_nothing_left(self) -> None:
        """No process of the learner's after 2 seconds, none of ours once those that stay were let go."""
        slow = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        assert psutil.wait_procs(self.learners, timeout=PROMISED_SECONDS * slow)[1] == []
        self.let_go()
        assert psutil.wait_procs(self.started, timeout=30)[1] == []


@pytest.fixture
def bring(course: Path, tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    place = tmp_path / "t"
    place.mkdir()
    runs = []

    def start(moment: str) -> Run:
        runs.append(Run(course, place, MOMENTS[moment]))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def _cases() -> list[object]:
    """Every process of ours that is there at a moment; one of each is in the quick tests."""
    return [
        pytest.param(
            moment,
            victim,
            id=f"{victim}-{moment}",
            marks=() if victim == "command" or moment == "in_a_check" else pytest.mark.attacks,
        )
        for moment in MOMENTS
        for victim in ("command", "session", "warden", "keeper")
        if (moment, victim) != ("before_its_start", "keeper")  # it is made when the first program is wanted
    ]


@pytest.mark.parametrize(("moment", "victim"), _cases())
def test_kill_nine_leaves_nothing_and_loses_nothing(bring: Callable[[str], Run], moment: str, victim: str) -> None:
    run = bring(moment)
    if moment != "before_its_start":
        assert run.learners, "a program of the learner's runs at that moment"
    run.victims[victim].kill()
    run.expect_nothing_left()
    printed = run.printed + run.process.communicate(timeout=60)[0]
    expected = MOMENTS[moment]
    if victim == "command":
        again = run.next_run()
        done = f"{expected.graded} of {expected.planned} checks" if expected.planned else "its start"
        assert f"the run before was killed after {done}" in again
        kept = run.course / ".grader" / "lab-01" / "cut-short.jsonl"
        verdicts = [json.loads(line)["ended"]["verdict"] for line in kept.read_text().splitlines() if "ended" in line]
        assert verdicts == ["passed"] * expected.graded
    elif expected.planned:
        report = json.loads(run.report.read_text("utf-8"))
        verdicts = [check["verdict"] for check in report["checks"]]
        assert verdicts[: expected.graded] == ["passed"] * expected.graded
        assert len(verdicts) == expected.planned, "each planned check has a verdict"
        assert "points" in printed
        all_in = expected.graded == expected.planned
        assert run.process.returncode in ((0,) if all_in else (1, 3)), "passed only if it had already"
    run.next_run()
    assert list(run.place.iterdir()) == [], "what nobody was left to remove, the next run removes"


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_clean(bring: Callable[[str], Run], moment: str) -> None:
    run = bring(moment)
    run.process.send_signal(signal.SIGINT)
    printed, _ = run.process.communicate(timeout=60)
    run.expect_nothing_left()
    assert run.process.returncode == 130
    assert "nterrupted" in printed
    assert "Traceback" not in printed
    assert list(run.place.iterdir()) == []
    if MOMENTS[moment].planned:
        verdicts = [check["verdict"] for check in json.loads(run.report.read_text("utf-8"))["checks"]]
        assert verdicts[: MOMENTS[moment].graded] == ["passed"] * MOMENTS[moment].graded
    assert list((run.course / ".grader" / "lab-01").glob("run-*")) == [], "it was reported: nothing was cut short"


@pytest.mark.parametrize("victim", ["command", "session"])
def test_no_database_is_left_after_the_next_run(course: Path, tmp_path: Path, victim: str) -> None:
    fifo = tmp_path / "moment"
    os.mkfifo(fifo)
    os.mkfifo(f"{fifo}.go")
    checks = course / "grader" / "checks" / "lab_02" / "checks_ledger.py"
    before = '    word = f"all of'
    text = checks.read_text("utf-8")
    assert before in text
    checks.write_text(text.replace(before, f"    {_STAY.format(fifo=str(fifo))}\n{before}"), "utf-8")
    home = tmp_path / "h"
    environment = {**os.environ, "GRADER_HOME": str(home), "GRADER_POSTGRES_PORT": "1"}
    environment.pop("DATABASE_URL", None)

    def grader(*argv: str) -> subprocess.Popen[str]:
        command = [*GRADER, "--course", str(course), *argv]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def said(*argv: str) -> str:
        with grader(*argv) as process:
            return process.communicate(timeout=120)[0]

    said("db", "up")
    try:
        run = grader("check", "2", "--reference")
        with fifo.open() as signalled:
            signalled.read(3)
        assert "1 databases of runs" in said("db", "status")
        command = psutil.Process(run.pid)
        {"command": command, "session": command.children()[0]}[victim].kill()
        run.communicate(timeout=120)
        checks.write_text(text, "utf-8")
        assert "100 of 100" in said("check", "2", "--reference")
        assert ", 0 databases of runs" in said("db", "status")
    finally:
        said("db", "down", "--force")
        shutil.rmtree(home, ignore_errors=True)
