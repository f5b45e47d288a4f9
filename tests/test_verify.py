"""`grader verify` refuses a lab whose checks do not tell right from wrong, and says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grader.lab import Lab
from grader.lab_pages import page_problems
from grader.verify import Depth, verify


def _verify(course: Path, *, full: bool = True, seeds: int = 1) -> tuple[int, str]:
    lines: list[str] = []
    code = verify(course, ["lab-01"], depth=Depth(full, seeds), seed=3, jobs=2, say=lines.append)
    return code, "\n".join(lines)


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")


@pytest.fixture
def checks(lab: Lab) -> Path:
    return lab.checks / "checks_echo.py"


@pytest.mark.parametrize("full", [False, True])
def test_a_proven_lab_is_accepted(course: Path, full: bool) -> None:
    code, said = _verify(course, full=full)
    assert (code, "no problems" in said) == (0, True), said


def test_a_blunt_check_is_refused(course: Path, checks: Path) -> None:
    _edit(checks, 'expect_equal(reply.json(), {"text": text}', 'expect_equal("", ""')
    code, said = _verify(course)
    assert code == 1
    assert "wrong/shouts (seed 3) should be caught by `echoes_text`, which passes it" in said
    assert "no wrong program trips `echoes_text`" in said


def test_a_check_without_a_wrong_program_is_refused(course: Path, lab: Lab) -> None:
    shutil.rmtree(lab.solutions / "wrong" / "forgets")
    _edit(lab.solutions / "wrong.toml", '[forgets]\nmistake = "The greeting is written into the program."\n', "")
    _edit(lab.solutions / "wrong.toml", 'fails = ["greets_from_the_environment"]', "")
    code, said = _verify(course)
    assert (code, "no wrong program trips `greets_from_the_environment`" in said) == (1, True), said


def test_a_wrong_program_caught_by_another_check_is_refused(course: Path, lab: Lab) -> None:
    _edit(lab.solutions / "wrong.toml", 'fails = ["greets_from_the_environment"]', 'fails = ["echoes_text"]')
    _, said = _verify(course)
    assert "wrong/forgets (seed 3) is also caught in full by `greets_from_the_environment`" in said
    assert "wrong/forgets (seed 3) should be caught by `echoes_text`" in said


def test_a_wrong_program_that_declares_nothing_is_refused(course: Path, lab: Lab) -> None:
    _edit(lab.solutions / "wrong.toml", 'fails = ["greets_from_the_environment"]', "fails = []")
    assert "wrong/forgets (seed 3) declares no check" in _verify(course)[1]


def test_a_declaration_without_a_program_is_our_fault(course: Path, lab: Lab) -> None:
    from grader.errors import GraderFault

    shutil.rmtree(lab.solutions / "wrong" / "shouts")
    with pytest.raises(GraderFault, match="declares shouts"):
        _verify(course)


def test_a_reference_below_100_is_refused(course: Path, lab: Lab) -> None:
    _edit(lab.solutions / "reference" / "echo" / "handler.py", 'sent["text"]', 'sent["text"] * 2')
    code, said = _verify(course)
    assert (code, "reference (seed 3) must pass `echoes_text`" in said) == (1, True), said


def test_a_skeleton_above_its_floor_is_refused(course: Path, lab: Lab) -> None:
    shutil.copytree(lab.solutions / "reference", lab.home / "skeleton", dirs_exist_ok=True)
    assert "the skeleton earns 100 points, its floor is 0" in _verify(course)[1]


def test_a_task_without_hints_is_refused(lab: Lab) -> None:
    assert page_problems(lab) == []
    _edit(lab.home / "hints.md", "3. It is in the environment.\n", "")
    assert "task `manners` has 2 hints" in page_problems(lab)[0]


def test_hints_that_hold_code_are_refused(lab: Lab) -> None:
    _edit(lab.home / "hints.md", "# Hints", "# Hints\n```python\nanswer()\n```")
    assert "holds code" in page_problems(lab)[0]


def test_a_brief_without_a_section_is_refused(lab: Lab) -> None:
    _edit(lab.home / "README.md", "## Contract", "## Something else")
    assert "has no section `## Contract`" in page_problems(lab)[0]


def test_a_brief_that_forgets_a_task_is_refused(lab: Lab) -> None:
    _edit(lab.home / "README.md", "2 `manners`", "2 the other one")
    assert "never names the task `manners`" in page_problems(lab)[0]


def test_a_verdict_that_changes_with_the_seed_is_a_flake(course: Path, checks: Path) -> None:
    _edit(checks, 'note("3 texts sent")', "expect_equal(reply.status, 200 if rng.seed_is_even else 500, 'luck')")
    _edit(
        checks,
        "def echoes_text(stage: Stage, rng: random.Random)",
        "def echoes_text(stage: Stage, rng: random.Random, seed: int)",
    )
    _edit(checks, "rng.seed_is_even", "seed % 2 == 0")
    assert "flake: `echoes_text` on reference: " in _verify(course, seeds=2)[1]
