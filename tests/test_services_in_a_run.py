"""A run with a database and a model: their faults are never the learner's, and a script must be played to its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.lab import Lab, read_lab
from grader.run import LabResult, Request, check_lab
from grader.services import postgres
from grader.verdict import CheckResult, Verdict
from tests.conftest import TOY

KEEPS, SUMS = "keeps_entries", "sums_up_with_one_call"


@pytest.fixture
def ledger(course: Path) -> Lab:
    return read_lab(course, "lab-02-ledger")


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server of its own, as the folder of its state: the one that other tests use must not be stopped."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("h")
        patch.setenv("GRADER_HOME", str(home))
        patch.setenv("GRADER_POSTGRES_PORT", "1")
        patch.delenv("DATABASE_URL", raising=False)
        yield home / "postgres"
        postgres.down(force=True, erase=True)


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


@pytest.mark.usefixtures("own_server")
def test_a_database_that_is_lost_in_mid_check_costs_nothing(ledger: Lab, warden: str) -> None:
    _edit_checks(
        ledger,
        "    rows = stage",
        "    from grader.services import postgres\n    postgres.down(force=True)\n    rows = stage",
    )
    results = _grade(ledger, warden)
    assert results[KEEPS].verdict is Verdict.GRADER_ERROR
    assert "database-lost" in _message(results[KEEPS])
    assert results[SUMS].verdict is Verdict.BLOCKED


@pytest.mark.parametrize("victim", ["postmaster", "supervisor"])
def test_a_program_is_not_blamed_for_a_database_that_was_killed(
    ledger: Lab, warden: str, own_server: Path, victim: str
) -> None:
    _edit_checks(ledger, ', after=("keeps_entries",)', "")
    _edit_checks(
        ledger,
        "    expect_equal(stage.program.post",
        "    import json, os, pathlib\n"
        f"    state = json.loads(pathlib.Path({str(own_server)!r}, 'state.json').read_text())\n"
        f"    os.kill(state[{victim!r}], 9)\n"
        "    while stage.program.post('/entries', json={'text': 'x'}).status == 200:\n"
        "        pass\n"
        "    expect_equal(stage.program.post",
    )
    results = _grade(ledger, warden)
    assert results[KEEPS].verdict is Verdict.GRADER_ERROR, "the program answered wrongly, but could not do better"
    assert "database-lost" in _message(results[KEEPS])
    assert results[SUMS].verdict is Verdict.BLOCKED
    assert "The database went away" in _message(results[SUMS])
    assert _grade_reference_again(ledger, warden) == 0, "the next run starts a server of its own"


def _grade_reference_again(ledger: Lab, warden: str) -> int:
    checks = ledger.checks / "checks_ledger.py"
    checks.write_text((TOY / "grader" / "checks" / "lab_02" / checks.name).read_text("utf-8"), "utf-8")
    return check_lab(_request(ledger, warden), lambda _event: None).exit_code


def test_a_program_is_not_blamed_for_a_database_without_room(
    ledger: Lab, warden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _edit_checks(
        ledger,
        "    expect_equal(stage.program.post",
        "    import grader.services.postgres.server as server\n"
        "    server.LEAST_ROOM = 2**70\n"
        "    expect_equal(stage.program.post",
    )
    _edit_checks(ledger, "200", "201")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    full = _grade(ledger, warden)[KEEPS]
    assert full.verdict is Verdict.GRADER_ERROR
    assert "disk-full" in _message(full)


def test_a_fault_of_our_double_costs_nothing(ledger: Lab, warden: str) -> None:
    _edit_checks(ledger, "Reply(word))", "lambda request: 1 / 0)")
    broken = _grade(ledger, warden)[SUMS]
    assert broken.verdict is Verdict.GRADER_ERROR
    assert "double" in _message(broken)


def test_no_database_to_be_had_is_said_with_the_command(ledger: Lab, warden: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        first, *others = _grade(ledger, warden).values()
    assert {other.verdict for other in others} == {Verdict.BLOCKED}, "the reason is said once"
    assert first.verdict is Verdict.GRADER_ERROR
    assert "DATABASE_URL" in _message(first)
