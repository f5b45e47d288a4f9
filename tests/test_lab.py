"""lab.toml is read strictly, and a lab is found by any of its names."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.errors import GraderFault, LearnerError, UsageError
from grader.lab import Lab, find_course, find_lab, read_lab, read_override
from tests.conftest import TOY_LAB


@pytest.mark.parametrize("name", ["lab-01", "1", "01", "lab-1", TOY_LAB, f"{TOY_LAB}/", "LAB-01"])
def test_every_name_of_a_lab_finds_it(course: Path, name: str) -> None:
    assert find_lab(course, name, course).folder == TOY_LAB


def test_no_name_means_the_work_folder_one_stands_in(course: Path) -> None:
    inside = course / "work" / TOY_LAB / "echo"
    inside.mkdir(parents=True)
    assert find_lab(course, None, inside).folder == TOY_LAB


def test_no_name_outside_of_work_is_a_usage_error(course: Path) -> None:
    with pytest.raises(UsageError, match="no lab was named") as caught:
        find_lab(course, None, course)
    assert caught.value.slug == "no-lab-named"


def test_an_unknown_lab_is_refused_with_a_guess(course: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_lab(course, "lab-01-ecko", course)
    assert caught.value.slug == "unknown-lab"
    assert TOY_LAB in caught.value.mend


def test_a_course_is_found_from_below(course: Path) -> None:
    below = course / "labs" / TOY_LAB / "skeleton"
    assert find_course(below) == course


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("minutes = 5", "minutes = 5\ncolour = 'red'", "unknown key `colour`"),
        ("minutes = 5", 'minutes = "5"', "`minutes` must be a whole number"),
        ("minutes = 5", "minutes = true", "`minutes` must be a whole number"),
        ("minutes = 5", "", "`minutes` is missing"),
        ('speaks = "http"', 'speaks = "ftp"', "`program.speaks` must be one of"),
        ("points = 60", "points = 61", "must add up to 100"),
        ("format = 1", "format = 2", "has format 2, this grader reads 1"),
        ('id = "manners"', 'id = "echo"', "the same id"),
        ("seconds = 30", "seconds = 0", "at least 1"),
        ('difficulty = "easy"', "difficulty = [", "cannot read"),
        ("memory_mb = 512", "memory_mb = 512\ncolour = 1", "unknown key `limits.colour`"),
        ('priority = "P3"', 'priority = "P9"', "must be one of P0"),
        ('files = ["echo/**/*.py"]', "files = [1]", "must be a list of strings"),
    ],
)
def test_a_malformed_description_is_our_fault_and_says_where(course: Path, before: str, after: str, said: str) -> None:
    path = course / "labs" / TOY_LAB / "lab.toml"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    with pytest.raises(GraderFault) as caught:
        read_lab(course, TOY_LAB)
    assert said in caught.value.what
    assert caught.value.mend


def test_an_override_may_change_the_entry(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "lab.override.toml").write_text('entry = ["java", "-jar", "echo.jar"]', "utf-8")
    assert read_override(lab, tmp_path) == ("java", "-jar", "echo.jar")


@pytest.mark.parametrize(
    "text",
    [
        "points = 100",
        'entry = ["a"]\nseconds = 900',
        "entry = []",
        "entry = 'sh'",
        "entry =",
        "entry = " + "[" * 8000,
        f"entry = ['{'x' * 20_000}']",
    ],
    ids=range(7),
)
def test_an_override_may_change_nothing_else(lab: Lab, tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.override.toml").write_text(text, "utf-8")
    with pytest.raises(LearnerError) as caught:
        read_override(lab, tmp_path)
    assert caught.value.slug == "override"


def test_no_override_is_no_override(lab: Lab, tmp_path: Path) -> None:
    assert read_override(lab, tmp_path) is None
