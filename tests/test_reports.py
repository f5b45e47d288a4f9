"""Reports show one result in several ways; none lets a program's text act on the reader's terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from grader.report import json_file
from grader.report.inert import inert, quoted
from grader.report.terminal import TerminalReport
from grader.run import LabResult
from grader.sandbox import Isolation, Level
from grader.score import score
from grader.session.events import Ended, Planned
from grader.verdict import CheckResult, Failure, PlannedCheck, Verdict


def sample_result() -> LabResult:
    """A result with one check of each verdict."""
    failures = {
        Verdict.FAILED: Failure("the status is not as promised", "200", "\x1b[2J500", "Look at the route."),
        Verdict.CRASHED: Failure("the program ended", detail="line 1\n\x1b]0;title\x07::error::forged"),
        Verdict.TIMED_OUT: Failure("no answer"),
        Verdict.BLOCKED: Failure("not run: `a` must pass first"),
        Verdict.GRADER_ERROR: Failure("the check itself broke", detail="Traceback"),
    }
    results = tuple(
        CheckResult(
            PlannedCheck(f"check_{verdict.value}", f"It ends {verdict.value}", "one"),
            verdict,
            0.5,
            failures.get(verdict),
            ("a note",) if verdict is Verdict.PASSED else (),
        )
        for verdict in Verdict
    )
    return LabResult(
        lab="lab-01",
        folder="lab-01-echo",
        title="Echo",
        label="work/lab-01-echo",
        seed=7,
        isolation=Isolation.chosen(Level.PROCESS),
        checks=results,
        score=score([("one", "The only task", 100)], results, {"one": 6}),
        seconds=3.2,
        submission_digest="ab",
        checks_digest="cd",
    )


def _terminal(width: int = 100) -> str:
    result = sample_result()
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)
    report = TerminalReport(console=console)
    report.begin("lab-01", "Echo", "work/lab-01-echo", 7, result.isolation)
    report.listen(Planned(tuple(item.check for item in result.checks), {"one": 6}))
    for item in result.checks:
        report.listen(Ended(item))
    report.end(result, "Next: nothing")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_each_verdict_and_why() -> None:
    text = _terminal()
    for word in ("✓ It ends passed", "crashed", "timed out", "blocked", "not graded", "a note"):
        assert word in text
    assert "expected  200" in text
    assert "likely    Look at the route." in text
    assert "16.6 of 100 points · 1 of 6 checks passed" in text


def test_a_programs_text_is_inert_on_the_terminal() -> None:
    text = _terminal()
    assert "\x1b" not in text
    assert "\\x1b[2J500" in text
    assert "    | \\x1b]0;title\\x07::error::forged" in text


def test_the_terminal_report_is_readable_when_narrow() -> None:
    assert "Look at the" in _terminal(width=40)


def test_a_line_break_eats_no_space_that_counts() -> None:
    console = Console(file=io.StringIO(), width=60, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for filling in range(10, 50):  # somewhere in here the two spaces would fall on the end of a line
        TerminalReport(console=console)._block("observed  ", f"{'x' * filling} The  door")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("The  door") == 40


def test_the_command_for_the_same_again_names_what_was_graded() -> None:
    result = sample_result()
    assert result.again == "grader check lab-01 --seed 7"
    assert replace(result, label="reference").again == "grader check lab-01 --reference --seed 7"
    assert replace(result, label="there").again == "grader check lab-01 --path there --seed 7"
    assert replace(result, label="my work").again == "grader check lab-01 --path 'my work' --seed 7"


def test_a_run_in_which_nothing_failed_but_something_could_not_be_graded_is_exit_3() -> None:
    graded = {Verdict.PASSED, Verdict.BLOCKED, Verdict.GRADER_ERROR}
    result = sample_result()
    assert replace(result, checks=tuple(item for item in result.checks if item.verdict in graded)).exit_code == 3
    assert replace(result, checks=()).exit_code == 3
    assert result.exit_code == 1, "what failed is not excused by what could not be graded"


def test_text_that_no_encoding_takes_is_written_all_the_same(tmp_path: Path) -> None:
    odd = replace(sample_result().checks[1], failure=Failure("odd", observed="a\ud800b"))
    json_file.write(replace(sample_result(), checks=(odd,)), str(tmp_path / "report.json"))
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["checks"][0]["failure"]["observed"] == "a\ud800b"


def test_json_round_trips_and_keeps_exact_texts() -> None:
    report = json.loads(json_file.render(sample_result()))
    assert report["points"] == {"earned": 16.66, "possible": 100}
    assert report["checks"][1]["failure"]["observed"] == "\x1b[2J500"


def test_inert_keeps_text_and_disarms_the_rest() -> None:
    assert inert("naïve\tüber\nline\r\nend") == "naïve\tüber\nline\nend"
    assert inert("a\rb\x1b[1m\u202etxt\u200b\x00") == "a\\rb\\x1b[1m\\u202etxt\\u200b\\x00"


def test_quoted_output_is_the_tail_behind_a_bar() -> None:
    assert quoted("\n".join(str(n) for n in range(100)), lines=2) == "| 98\n| 99"
