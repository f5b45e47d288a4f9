"""The battery that compares doubles is whole, ours passes what it should, and the page of results is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.model import battery, report
from benchmarks.model.cases import CASES, Case
from benchmarks.model.doubles import CannotScript, Double, Ours
from grader.model import ModelDouble, Reply

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
# What others have and ours has not: other vendors, other endpoints, some faults in the middle of a stream, a verdict.
NOT_OURS = ("faults: ", "verdict: ", "other ")


@pytest.fixture(scope="module")
def ours() -> Iterator[Double]:
    with ModelDouble() as double:
        yield Ours(double)


def test_the_battery_has_at_least_sixty_cases_on_both_sdks() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    for side in ("anthropic: ", "chat: ", "responses: "):
        assert sum(case.name.startswith(side) for case in CASES) >= 20


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.name.startswith(NOT_OURS)], ids=lambda one: one.name
)
def test_ours_passes(ours: Double, case: Case) -> None:
    assert battery.result_of(case, ours) == ""
    assert isinstance(ours, Ours)
    assert ours.double.protocol_faults == ()


def test_a_case_that_does_not_pass_says_why(ours: Double) -> None:
    def refuse(_double: Double) -> None:
        raise CannotScript("no words")

    def fail(_double: Double) -> None:
        raise ValueError("wrong")

    assert battery.result_of(Case("x", refuse), ours) == "cannot be scripted: no words"
    assert battery.result_of(Case("x", fail), ours) == "ValueError: wrong"


def test_cases_can_fail(ours: Double) -> None:
    """Asked of a double that always says the same, hardly any case passes."""
    assert isinstance(ours, Ours)
    ours.reset()
    deaf = Ours(ours.double)
    deaf.play = lambda *_steps: ours.double.respond(lambda _request: Reply("always the same"))  # type: ignore[method-assign]
    texts = [case for case in CASES if re.search(r": (text|a tool call|structured|a refusal|429)", case.name)]
    assert len(texts) > 15
    assert [case.name for case in texts if not battery.result_of(case, deaf)] == []


def test_the_page_is_of_this_battery() -> None:
    text = PAGE.read_text("utf-8")
    assert f"{len(CASES)} cases" in text
    assert [case.name for case in CASES if f"| {case.name} |" not in text] == []
    for name, version in report.VERSIONS.items():
        assert f"| {name} | {version} |" in text
