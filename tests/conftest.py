"""Fixtures for the grader's own tests: the toy course, and a function that grades a program against it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.lab import Lab, read_lab
from grader.run import LabResult, Request, check_lab
from grader.sandbox import Isolation, Level
from grader.sandbox.launcher import Warden

TOY = Path(__file__).parent / "toy_course"
TOY_LAB = "lab-01-echo"

GradeProgram = Callable[..., LabResult]

# Under nohup, or in the background of a script, the tests ignore signals, and so would what they start.
for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A private copy of the toy course, free to be broken."""
    target = tmp_path / "course"
    shutil.copytree(TOY, target, ignore=shutil.ignore_patterns(".grader", "__pycache__", "work"))
    return target


@pytest.fixture
def lab(course: Path) -> Lab:
    """The toy course's only lab."""
    return read_lab(course, TOY_LAB)


@pytest.fixture(scope="session")
def warden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One warden for all runs of the tests."""
    with Warden(tmp_path_factory.mktemp("w")) as running:
        yield running.path


@pytest.fixture
def grade(lab: Lab, tmp_path: Path, warden: str) -> GradeProgram:
    """Grade a program given as source text of its `echo/__main__.py`."""

    def run(
        source: str,
        *,
        seed: int = 1,
        only: tuple[str, ...] = (),
        level: Level = Level.PROCESS,
    ) -> LabResult:
        folder = tmp_path / "program"
        (folder / "echo").mkdir(parents=True, exist_ok=True)
        (folder / "echo" / "__main__.py").write_text(source, "utf-8")
        request = Request(lab, folder, "test", seed, only=only, isolation=Isolation.chosen(level), warden=warden)
        return check_lab(request, lambda _event: None)

    return run
