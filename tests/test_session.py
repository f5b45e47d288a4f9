"""Whatever the program does, every planned check ends in exactly one verdict, and nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from grader.run import LabResult
from grader.verdict import CheckResult, Verdict
from tests import programs
from tests.conftest import GradeProgram

ECHO, MANNERS = "echoes_text", "greets_from_the_environment"


def _by_name(result: LabResult) -> dict[str, CheckResult]:
    assert [item.check.name for item in result.checks] == [ECHO, MANNERS], "one verdict for each planned check"
    return {item.check.name: item for item in result.checks}


def _said(item: CheckResult) -> str:
    assert item.failure is not None
    return f"{item.failure.message} {item.failure.observed} {item.failure.hint} {item.failure.detail}"


def test_a_right_program_gets_all_points(grade: GradeProgram) -> None:
    result = grade(programs.RIGHT)
    assert (result.score.shown, result.exit_code) == ("100", 0)
    assert _by_name(result)[ECHO].notes == ("3 texts sent",)


def test_a_wrong_echo_fails_with_expected_and_observed(grade: GradeProgram) -> None:
    result = grade(programs.service('def do_POST(self):\n    self.answer({"text": 1})\nHandler.do_POST = do_POST'))
    failed = _by_name(result)[ECHO]
    assert failed.verdict is Verdict.FAILED
    assert failed.failure is not None
    assert failed.failure.expected == "{'text': ''}"
    assert failed.failure.observed == "{'text': 1}"
    assert result.exit_code == 1


def test_a_check_behind_a_failed_one_is_blocked(grade: GradeProgram) -> None:
    blocked = _by_name(grade(programs.REDIRECTS))[MANNERS]
    assert blocked.verdict is Verdict.BLOCKED
    assert ECHO in _said(blocked)


@pytest.mark.parametrize(
    ("source", "verdict", "said"),
    [
        (programs.EXITS_AT_ONCE, Verdict.CRASHED, "I had enough"),
        (programs.EXITS_HARD, Verdict.CRASHED, "ended with status 0 before it was ready"),
        (programs.EXITS_HARD, Verdict.CRASHED, "It printed nothing"),
        (programs.RAISES, Verdict.CRASHED, "task echo is not written yet"),
        (programs.DIES_IN_THE_REQUEST, Verdict.CRASHED, "about to divide"),
        (programs.HANGS_IN_THE_REQUEST, Verdict.TIMED_OUT, "no whole answer to POST /echo within 1.5 seconds"),
        (programs.ANSWERS_FOR_EVER, Verdict.TIMED_OUT, "no whole answer to POST /echo within 1.5 seconds"),
        (programs.ANSWERS_A_GIGABYTE, Verdict.FAILED, "larger than 1 MiB"),
        (programs.ANSWERS_GZIP, Verdict.FAILED, "compressed"),
        (programs.REDIRECTS, Verdict.FAILED, "307"),
        (programs.ANSWERS_NAN, Verdict.FAILED, "not JSON"),
        (programs.ANSWERS_VERDICTS, Verdict.FAILED, "points"),
        (programs.FLOODS_OUTPUT, Verdict.CRASHED, "8 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else "",
)
def test_a_broken_program_gets_its_own_verdict(grade: GradeProgram, source: str, verdict: Verdict, said: str) -> None:
    result = grade(source)
    first = _by_name(result)[ECHO]
    assert first.verdict is verdict, _said(first)
    assert said in _said(first)
    assert result.exit_code == 1
    assert result.score.earned == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (programs.NEVER_LISTENS, "nothing listens there"),
        (programs.SAYS_JUNK, "was not ready"),
        (programs.LISTENS_ELSEWHERE, "Take the port from PORT"),
        (programs.service(host="127.0.0.2"), "The port is right; bind 127.0.0.1"),
    ],
)
def test_a_program_that_cannot_be_reached_costs_one_wait(grade: GradeProgram, source: str, said: str) -> None:
    result = grade(source)
    first, second = _by_name(result).values()
    assert first.verdict is Verdict.TIMED_OUT
    assert said in _said(first)
    assert second.verdict is Verdict.BLOCKED


def test_a_daemon_does_not_outlive_its_run(grade: GradeProgram, tmp_path: Path) -> None:
    pid_file = tmp_path / "daemon.pid"
    result = grade(programs.leaves_a_daemon(str(pid_file)))
    assert result.exit_code == 0, "the program is right, its daemon must have no effect"
    pid = int(pid_file.read_text())
    # Both stages of the run left one; the last to write is as good as any.
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_ignores_term_is_still_killed(grade: GradeProgram) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    assert grade(programs.IGNORES_TERM).exit_code == 0
    left = [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in before and "echo" in " ".join(child.cmdline())
    ]
    assert left == []


def test_the_program_gets_what_the_brief_promises_and_nothing_else(
    grade: GradeProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_CLOUD_SECRET", "hunter2")
    file = tmp_path / "seen.json"
    grade(programs.writes_its_environment(str(file)), only=(ECHO,))
    seen = json.loads(file.read_text())
    assert set(seen["environment"]) == {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PORT", "GREETING"}
    assert seen["environment"]["GREETING"] == "hello"
    assert [name for name in seen["files"] if int(name) > 3] == [], "only the standard streams (and the listing itself)"


def test_what_the_program_printed_is_shown_with_the_failure(grade: GradeProgram) -> None:
    raising = (
        'def do_POST(self):\n    print("before")\n    raise KeyError("text is missing")\nHandler.do_POST = do_POST'
    )
    failed = _by_name(grade(programs.service(raising, before_serving="print('at the start')")))[ECHO]
    assert failed.verdict is Verdict.FAILED
    assert failed.failure is not None
    assert "KeyError: 'text is missing'" in failed.failure.detail


def test_only_runs_a_check_with_what_must_pass_before_it(grade: GradeProgram) -> None:
    assert [item.check.name for item in grade(programs.RIGHT, only=(MANNERS,)).checks] == [ECHO, MANNERS]
    alone = grade(programs.RIGHT, only=(ECHO,))
    assert [item.check.name for item in alone.checks] == [ECHO]
    assert (alone.score.shown, alone.score.possible) == ("60", 60)


def test_a_task_of_which_checks_were_left_out_does_not_count_whole(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    checks.write_text(checks.read_text("utf-8").replace('task="manners"', 'task="echo"'), "utf-8")
    task = grade(programs.RIGHT, only=(ECHO,)).score.tasks[0]
    assert (int(task.earned), task.checks, task.all_checks) == (30, 1, 2)


def test_a_check_that_breaks_is_our_fault_and_costs_nothing(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    checks.write_text(checks.read_text("utf-8").replace("reply = stage", "reply = {}['x'] or stage"), "utf-8")
    result = grade(programs.RIGHT)
    broken = _by_name(result)[ECHO]
    assert broken.verdict is Verdict.GRADER_ERROR
    assert "KeyError" in _said(broken)
    assert result.exit_code == 3


def test_a_session_that_is_killed_keeps_the_verdicts_it_had(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    checks.write_text(
        text.replace("greeting = f", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n    greeting = f"),
        "utf-8",
    )
    first, second = _by_name(grade(programs.RIGHT)).values()
    assert first.verdict is Verdict.PASSED
    assert second.verdict is Verdict.GRADER_ERROR
    assert "ended early" in _said(second)


def test_a_program_is_not_blamed_when_its_warden_is_killed(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8").replace(', after=("echoes_text",)', "")
    kill = "import os, psutil\n    os.kill(psutil.Process(stage.program.running.pid).ppid(), 9)\n"
    checks.write_text(text.replace('    for text in ("",', f'    {kill}    for text in ("",'), "utf-8")
    result = grade(programs.RIGHT)
    first, second = _by_name(result).values()
    assert first.verdict is Verdict.GRADER_ERROR, _said(first)
    assert "warden" in _said(first)
    assert second.verdict is Verdict.BLOCKED
    assert result.exit_code == 3


def test_a_program_is_not_blamed_for_a_full_disk(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    full = "import grader.submission\n    grader.submission.LEAST_ROOM = 2**70\n"
    checks.write_text(text.replace('    for text in ("",', f'    {full}    for text in (None, "",'), "utf-8")
    crashed = _by_name(grade(programs.DIES_IN_THE_REQUEST))[ECHO]
    assert crashed.verdict is Verdict.GRADER_ERROR
    assert "disk-full" in _said(crashed)


def test_a_check_that_never_ends_is_timed_out(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    checks.write_text(text.replace('for text in ("",', 'while True:\n        pass\n    for text in ("",'), "utf-8")
    assert _by_name(grade(programs.RIGHT))[ECHO].verdict is Verdict.TIMED_OUT


def test_a_deadline_names_the_request_that_it_cut_off(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    checks.write_text(text.replace('"/echo", json', '"/echo", seconds=60, json'), "utf-8")
    late = _by_name(grade(programs.HANGS_IN_THE_REQUEST))[ECHO]
    assert late.verdict is Verdict.TIMED_OUT
    assert "not through after 2 seconds, waiting for POST /echo" in _said(late)


def test_the_same_seed_gives_the_same_inputs(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    checks.write_text(text.replace('note("3 texts sent")', "note(str(rng.random()))"), "utf-8")
    drawn = [_by_name(grade(programs.RIGHT, seed=seed, only=()))[ECHO].notes for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_grader_leaves_no_folder_in_tmp(
    grade: GradeProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    grade(programs.RIGHT)
    assert list(place.iterdir()) == []


def test_a_hang_costs_one_deadline_and_the_next_check_gets_a_new_program(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    for before, after in (
        (', after=("echoes_text",)', ""),
        ("fresh_stage: FreshStage", "stage: Stage"),
        ('    stage = fresh_stage({"GREETING": greeting})\n', '    greeting = "hello"\n'),
    ):
        assert before in text
        text = text.replace(before, after)
    checks.write_text(text, "utf-8")
    # One request at a time: whoever asks a program that hangs waits behind it.
    hanging = programs.HANGS_IN_THE_REQUEST.replace("ThreadingHTTPServer((", "HTTPServer((")
    first, second = _by_name(grade(hanging.replace("import BaseHTTP", "import HTTPServer, BaseHTTP"))).values()
    assert first.verdict is Verdict.TIMED_OUT
    assert second.verdict is Verdict.PASSED, _said(second)


def test_checks_that_ask_for_the_same_variables_share_a_program(course: Path, grade: GradeProgram) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    text = checks.read_text("utf-8")
    fresh = '    stage = fresh_stage({"GREETING": greeting})\n'
    shared = """    stage = fresh_stage({"GREETING": greeting})
    same, plain, other = fresh_stage({"GREETING": greeting}), fresh_stage(), fresh_stage({"GREETING": "hello"})
    note(f"{stage is same} {len({id(stage), id(plain), id(other)})} {other.program.get('/greeting').json()}")
"""
    assert fresh in text
    checks.write_text(text.replace(fresh, shared).replace("fresh_stage", "shared_stage"), "utf-8")
    second = _by_name(grade(programs.RIGHT))[MANNERS]
    assert second.verdict is Verdict.PASSED, _said(second)
    assert second.notes == ("True 3 {'text': 'hello'}",)
