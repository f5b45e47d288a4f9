"""A run with a database and a model: their faults are never the learner's, and a script must be played to its end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from grader.lab import Lab, read_lab
from grader.run import LabResult, Request, check_lab
from grader.verdict import CheckResult, Verdict

KEEPS, SUMS = "keeps_entries", "sums_up_with_one_call"


@pytest.fixture
def ledger(course: Path) -> Lab:
    return read_lab(course, "lab-02-ledger")


def _grade(lab: Lab, warden: str, overlay: str = "") -> dict[str, CheckResult]:
    over = lab.solutions / "wrong" / overlay if overlay else None
    result = check_lab(_request(lab, warden, over), lambda _event: None)
    return {item.check.name: item for item in result.checks}


def _request(lab: Lab, warden: str, overlay: Path | None = None) -> Request:
    return Request(lab, lab.solutions / "reference", "test", 1, overlay, warden=warden)


def _edit_checks(lab: Lab, before: str, after: str) -> None:
    path = lab.checks / "checks_ledger.py"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")


def _message(item: CheckResult) -> str:
    assert item.failure is not None
    return f"{item.failure.message} {item.failure.observed} {item.failure.hint}"


def test_rows_and_replies_are_real(ledger: Lab, warden: str) -> None:
    result: LabResult = check_lab(_request(ledger, warden), lambda _event: None)
    assert result.exit_code == 0, [item.failure for item in result.checks]


def test_a_row_that_is_not_there_is_a_failure_not_a_fault(ledger: Lab, warden: str) -> None:
    failed = _grade(ledger, warden, "forgets")[KEEPS]
    assert failed.verdict is Verdict.FAILED
    assert "entries" in _message(failed)


def test_a_model_call_too_many_fails_the_check(ledger: Lab, warden: str) -> None:
    failed = _grade(ledger, warden, "talks")[SUMS]
    assert failed.verdict is Verdict.FAILED


def test_a_reply_that_was_never_asked_for_fails_the_check(ledger: Lab, warden: str) -> None:
    _edit_checks(ledger, "stage.model.script(Reply(word))", "stage.model.script(Reply(word), Reply('more'))")
    failed = _grade(ledger, warden)[SUMS]
    assert failed.verdict is Verdict.FAILED
    assert "fewer model calls" in _message(failed)


def test_a_database_that_is_lost_in_mid_check_costs_nothing(ledger: Lab, warden: str) -> None:
    _edit_checks(
        ledger,
        "    rows = stage",
        "    from grader.services import postgres\n    postgres.down(force=True)\n    rows = stage",
    )
    # A server of its own: the one that other tests use must not be stopped.
    with pytest.MonkeyPatch.context() as patch:
        home = Path(shutil.os.path.realpath("/tmp")) / f"gh-{ledger.root.name}-{id(ledger)}"  # type: ignore[attr-defined]
        patch.setenv("GRADER_HOME", str(home))
        try:
            results = _grade(ledger, warden)
        finally:
            shutil.rmtree(home, ignore_errors=True)
    assert results[KEEPS].verdict is Verdict.GRADER_ERROR
    assert "database-lost" in _message(results[KEEPS])
    assert results[SUMS].verdict is Verdict.BLOCKED


def test_a_fault_of_our_double_costs_nothing(ledger: Lab, warden: str) -> None:
    _edit_checks(ledger, "Reply(word))", "lambda request: 1 / 0)")
    broken = _grade(ledger, warden)[SUMS]
    assert broken.verdict is Verdict.GRADER_ERROR
    assert "double" in _message(broken)


def test_no_database_to_be_had_is_said_with_the_command(ledger: Lab, warden: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        first = _grade(ledger, warden)[KEEPS]
    assert first.verdict is Verdict.GRADER_ERROR
    assert "DATABASE_URL" in _message(first)
