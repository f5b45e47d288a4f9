"""Right programs pass at every level, in whatever style they are written: isolation raises no false alarm."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grader.lab import Lab, list_folders, read_lab
from grader.run import LabResult, Request, check_lab
from grader.sandbox import Isolation, Level
from grader.sandbox.launcher import Warden
from tests.attacks.attack import KINDS, LEVELS
from tests.attacks.battery import SESSIONS_WARM, is_had
from tests.conftest import TOY

ROOT = Path(__file__).parent.parent
STYLES = Path(__file__).parent / "attacks" / "right" / "http"


# What a level cannot give to programs, whatever they are; docs/isolation.md says so.
MISSING = {("worker_processes", Level.LANDLOCK): "_multiprocessing.SemLock"}


@pytest.fixture(scope="module")
def wardens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    programs, sessions = (tmp_path_factory.mktemp(name) for name in ("p", "s"))
    with Warden(programs, ("fastapi", "uvicorn")) as one, Warden(sessions, SESSIONS_WARM) as other:
        yield one.path, other.path


def _grade(lab: Lab, source: Path, level: Level, wardens: tuple[str, str]) -> LabResult:
    if not is_had(level):
        pytest.skip(f"this machine does not have level {level}")
    patient = replace(lab.limits, seconds=lab.limits.seconds * 5, seconds_per_check=lab.limits.seconds_per_check * 5)
    lab = replace(lab, limits=patient, program=replace(lab.program, ready_seconds=40))
    request = Request(
        lab, source, "right", 1, isolation=Isolation.chosen(level), warden=wardens[0], session_warden=wardens[1]
    )
    return check_lab(request, lambda _event: None)


def _complaints(result: LabResult) -> list[str]:
    return [f"{item.check.name}: {item.verdict} {item.failure}" for item in result.checks if item.failure]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("style", sorted(path.stem for path in STYLES.iterdir() if path.name != "__pycache__"))
def test_a_right_program_passes_in_every_style(
    style: str, level: Level, course: Path, tmp_path: Path, wardens: tuple[str, str]
) -> None:
    folder = tmp_path / "program"
    if (STYLES / style).is_dir():
        if not shutil.which(style):
            pytest.skip(f"{style} is not installed here")
        shutil.copytree(STYLES / style, folder)
    else:
        shutil.copytree(KINDS / "http", folder)
        shutil.copyfile(KINDS / "host.py", folder / "host.py")
        (folder / "targets.json").write_text("{}")
        shutil.copyfile(STYLES / f"{style}.py", folder / "echo" / "__main__.py")
    lab = read_lab(course, "lab-01-echo")
    memory = replace(lab.limits, memory_mb=2048)  # as labs have it: a Java machine reserves a lot
    lab = replace(lab, limits=memory, program=replace(lab.program, files=("**/*",)))
    complaints = _complaints(_grade(lab, folder, level, wardens))
    if missing := MISSING.get((style, level)):
        assert missing in complaints[0], "either it passes now, or it fails for another reason"
    else:
        assert complaints == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("folder", list_folders(TOY))
def test_every_toy_solution_passes(folder: str, level: Level, course: Path, wardens: tuple[str, str]) -> None:
    lab = read_lab(course, folder)
    for source in (lab.solutions / "reference", *sorted((lab.solutions / "also_right").iterdir())):
        assert _complaints(_grade(lab, source, level, wardens)) == [], source


@pytest.mark.attacks
@pytest.mark.parametrize("level", LEVELS)
def test_the_reference_of_lab_07_passes(level: Level, wardens: tuple[str, str]) -> None:
    lab = read_lab(ROOT, "lab-07-rag-service")
    assert _complaints(_grade(lab, lab.solutions / "reference", level, wardens)) == []
