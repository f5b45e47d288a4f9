"""The command line as a learner meets it: what it prints, where, and with which exit code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from grader import workspace
from grader.errors import EnvironmentFault
from grader.lab import read_lab
from grader.sandbox.choose import choose
from grader.submission import write_fault
from tests import programs
from tests.conftest import TOY_LAB

# Isolated, as the installed command is: the course has a folder `grader` of its own.
GRADER = (sys.executable, "-I", "-m", "grader")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the grader makes its temporary files."""
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


def _grader(course: Path, *argv: str, cwd: Path | None = None, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GRADER, "--course", str(course), *argv],
        cwd=cwd or course,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **options},
    )


def _write_program(course: Path, source: str) -> Path:
    folder = course / "work" / TOY_LAB / "echo"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__main__.py").write_text(source, "utf-8")
    return folder


def test_start_check_and_diff_from_the_first_day(course: Path) -> None:
    started = _grader(course, "start", "lab-01")
    assert (started.returncode, started.stderr) == (0, "")
    assert f"made work/{TOY_LAB}" in started.stdout
    first = _grader(course, "check", "1")
    assert first.returncode == 1
    assert "0 of 100 points · 0 of 2 checks passed" in first.stdout
    assert "task echo: answer POST /echo" in first.stdout, "the skeleton's error names its task"
    assert "hints.md#echo" in first.stdout
    shutil.copytree(course / "solutions" / TOY_LAB / "reference", course / "work" / TOY_LAB, dirs_exist_ok=True)
    passed = _grader(course, "check", cwd=course / "work" / TOY_LAB)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "100 of 100 points · 2 of 2 checks passed" in passed.stdout
    changed = _grader(course, "diff", "1").stdout
    assert "+++ work/echo/handler.py" in changed
    assert "-raise NotImplementedError" in changed


def test_check_before_start_says_how_to_start(course: Path) -> None:
    result = _grader(course, "check", "lab-01")
    assert (result.returncode, result.stdout) == (2, "")
    assert "`grader start lab-01`" in result.stderr
    assert "docs/errors.md#not-started" in result.stderr


def test_starting_twice_keeps_the_work(course: Path) -> None:
    folder = _write_program(course, "mine = 1")
    result = _grader(course, "start", "lab-01")
    assert result.returncode == 2
    assert (folder / "__main__.py").read_text() == "mine = 1"


def test_a_reset_that_fails_leaves_the_work_in_its_place(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _write_program(course, "mine = 1")

    def full(_source: Path, target: Path) -> None:
        raise write_fault(target, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(workspace, "copy_tree", full)
    with pytest.raises(EnvironmentFault) as caught:
        workspace.reset(read_lab(course, TOY_LAB))
    assert caught.value.slug == "disk-full"
    assert (folder / "__main__.py").read_text() == "mine = 1"
    assert [path.name for path in (course / "work").iterdir()] == [TOY_LAB]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a disk")
@pytest.mark.parametrize("size", ["12k", "60k"])
def test_a_full_disk_is_named_and_nothing_is_held_against_the_program(course: Path, place: Path, size: str) -> None:
    (course / "solutions" / TOY_LAB / "reference" / "echo" / "more.py").write_text("#" * 20_000, "utf-8")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tests", str(place)], check=False).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        result = _grader(course, "check", "1", "--reference", TMPDIR=str(place))
        left = list(place.iterdir())
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert result.returncode == 3, result.stdout
    said = result.stdout + result.stderr
    assert "docs/errors.md#disk-full" in said
    assert "Traceback" not in said
    assert left == []


@pytest.mark.parametrize("seed", ["abc", "-1", "1.5", "٣", "9" * 30])
def test_a_seed_that_is_no_whole_number_is_a_usage_error(course: Path, seed: str) -> None:
    result = _grader(course, "check", "1", "--reference", f"--seed={seed}")
    assert result.returncode == 2
    assert "a seed is a whole number" in result.stderr


def test_a_program_that_called_no_model_is_not_sent_to_the_wire(course: Path) -> None:
    (course / "work" / "lab-02-ledger" / "ledger").mkdir(parents=True)
    (course / "work" / "lab-02-ledger" / "ledger" / "__main__.py").write_text("raise SystemExit(1)", "utf-8")
    result = _grader(course, "check", "2")
    assert result.returncode == 1
    assert "this check alone" in result.stdout
    assert "grader wire" not in result.stdout


def test_reset_keeps_a_backup(course: Path) -> None:
    _write_program(course, "mine = 1")
    result = _grader(course, "reset", "lab-01")
    assert result.returncode == 0
    backup = course / result.stdout.strip().rpartition(" ")[2]
    assert (backup / "echo" / "__main__.py").read_text() == "mine = 1"
    assert "NotImplementedError" in (course / "work" / TOY_LAB / "echo" / "__main__.py").read_text()


def test_diff_of_untouched_work_is_empty(course: Path) -> None:
    _grader(course, "start", "lab-01")
    assert _grader(course, "diff", "lab-01").stdout == ""


def test_the_json_report_alone_on_standard_output(course: Path) -> None:
    result = _grader(course, "check", "1", "--reference", "--seed", "7", "--json", "-")
    report = json.loads(result.stdout)
    assert (report["format"], report["seed"], report["points"]["earned"]) == (1, 7, 100.0)
    assert report["isolation"]["level"] == choose().level
    assert report["isolation"]["official"] is False
    assert [check["verdict"] for check in report["checks"]] == ["passed", "passed"]


def test_the_json_report_in_a_place_that_cannot_be_written(course: Path) -> None:
    result = _grader(course, "check", "1", "--reference", "--json", "/proc/nowhere.json")
    assert result.returncode == 3
    assert "100 of 100" in result.stdout, "the report on the terminal is not lost"
    assert "cannot write" in result.stderr


def test_a_program_cannot_draw_on_the_terminal(course: Path) -> None:
    _write_program(course, programs.SPEAKS_IN_ESCAPES)
    result = _grader(course, "check", "1")
    assert "\x1b" not in result.stdout
    assert "\n::set-output" not in result.stdout
    assert "\\x1b[32m10 passed" in result.stdout, "shown, but inert"


def test_an_unknown_check_is_a_usage_error(course: Path) -> None:
    result = _grader(course, "check", "1", "--reference", "--only", "nonsense")
    assert result.returncode == 2
    assert "echoes_text" in result.stderr


def test_contradicting_options_are_a_usage_error(course: Path) -> None:
    assert _grader(course, "check", "1", "--reference", "--path", ".").returncode == 2


def test_a_lab_without_checks_is_never_a_pass(course: Path) -> None:
    (course / "grader" / "checks" / "lab_01" / "checks_echo.py").write_text('"""Empty."""\n', "utf-8")
    result = _grader(course, "check", "1", "--reference")
    assert result.returncode == 3
    assert "docs/errors.md#no-checks" in result.stderr


def test_a_checks_file_with_an_error_is_never_a_pass(course: Path) -> None:
    (course / "grader" / "checks" / "lab_01" / "checks_more.py").write_text("import nowhere\n", "utf-8")
    result = _grader(course, "check", "1", "--reference")
    assert result.returncode == 3
    assert "nowhere" in result.stderr


def test_a_read_only_checkout_can_still_be_checked(course: Path) -> None:
    # Root writes anywhere: without these capabilities it obeys permissions as everybody does.
    obey = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={obey}", f"--inh-caps={obey}") if os.geteuid() == 0 else ()
    if prefix and not shutil.which("setpriv"):
        pytest.skip("root without setpriv cannot be kept from writing")
    for path in (course, *course.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    result = subprocess.run(
        [*prefix, *GRADER, "--course", str(course), "check", "1", "--reference"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
    )
    started = _grader(course, "start", "1") if not prefix else None
    for path in (course, *course.rglob("*")):
        path.chmod(0o755)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (course / ".grader").exists()
    if started:
        assert started.returncode == 3


def test_two_graders_on_one_lab_do_not_disturb_each_other(course: Path) -> None:
    argv = [*GRADER, "--course", str(course), "check", "1", "--reference"]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    ended = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], ended


def _begin(course: Path, place: Path, *argv: str, until: str = "2 checks") -> subprocess.Popen[str]:
    """A run whose program never answers, without a deadline that could end it before the test does."""
    description = course / "labs" / TOY_LAB / "lab.toml"
    text = description.read_text("utf-8")
    for before, after in (("ready_seconds = 3", "ready_seconds = 80"), ("per_check = 2", "per_check = 600")):
        assert before in text
        text = text.replace(before, after)
    description.write_text(text, "utf-8")
    process = subprocess.Popen(
        [*GRADER, "--course", str(course), "check", "1", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    assert process.stdout is not None
    while until not in process.stdout.readline():
        assert process.poll() is None
    return process


@pytest.mark.parametrize("presses", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(course: Path, place: Path, number: signal.Signals, presses: int) -> None:
    _write_program(course, programs.NEVER_LISTENS)
    process = _begin(course, place)
    started = psutil.Process(process.pid).children(recursive=True)
    for _ in range(presses):
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert list(place.iterdir()) == []


def test_what_was_graded_before_ctrl_c_is_reported(course: Path, place: Path, tmp_path: Path) -> None:
    hang = "def do_GET(self):\n    time.sleep(0 if self.path == '/health' else 600)\n    self.answer({})"
    _write_program(course, programs.service(f"{hang}\nHandler.do_GET = do_GET"))
    process = _begin(course, place, "--json", str(tmp_path / "report.json"), until="Whatever is sent comes back")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "60 of 100 points · 1 of 2 checks passed" in printed
    assert "Interrupted after 1 of 2 checks" in printed
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["exit_code"] == 130
    assert [check["verdict"] for check in report["checks"]] == ["passed", "blocked"]


@pytest.mark.parametrize("victim", ["command", "session", "warden", "keeper"])
def test_kill_nine_of_any_process_leaves_none(course: Path, place: Path, tmp_path: Path, victim: str) -> None:
    daemon = tmp_path / "daemon.pid"
    os.mkfifo(daemon)
    source = programs.leaves_a_daemon(str(daemon))
    _write_program(course, source.replace("ThreadingHTTPServer((", "time.sleep(600)\nThreadingHTTPServer((", 1))
    process = _begin(course, place, "--isolation", "process")  # elsewhere the daemon could not tell its number
    with daemon.open() as pipe:
        forked_away = psutil.Process(int(pipe.read()))
    command = psutil.Process(process.pid)
    (session,) = command.children()
    (warden,) = session.children()
    (keeper,) = warden.children()
    started = [*command.children(recursive=True), forked_away]
    {"command": command, "session": session, "warden": warden, "keeper": keeper}[victim].kill()
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert process.returncode == (-9 if victim == "command" else 3), "never held against the learner"
    # What nobody was left to remove, the next run removes.
    assert _grader(course, "check", "1", "--reference", TMPDIR=str(place)).returncode == 0
    assert list(place.iterdir()) == []


def test_a_session_that_is_stuck_ends_with_its_grader(course: Path, place: Path) -> None:
    checks = course / "grader" / "checks" / "lab_01" / "checks_echo.py"
    stuck = "import time\n    try:\n        time.sleep(600)\n    except BaseException:\n        time.sleep(600)\n"
    checks.write_text(
        checks.read_text("utf-8").replace('    for text in ("",', f'    {stuck}    for text in ("",'), "utf-8"
    )
    process = _begin(course, place, "--reference")
    started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def test_ctrl_c_ends_a_proof_without_waiting_for_its_programs(course: Path, place: Path) -> None:
    hangs = course / "solutions" / TOY_LAB / "reference" / "echo" / "__main__.py"
    hangs.write_text(programs.NEVER_LISTENS, "utf-8")
    description = course / "labs" / TOY_LAB / "lab.toml"
    description.write_text(description.read_text("utf-8").replace("ready_seconds = 3", "ready_seconds = 80"), "utf-8")
    process = subprocess.Popen(
        [*GRADER, "--course", str(course), "verify", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    assert process.stdout is not None
    while "skeleton" not in process.stdout.readline():
        assert process.poll() is None
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert list(place.iterdir()) == []


def test_the_folder_of_a_grader_that_lives_is_left_alone(course: Path, place: Path) -> None:
    _write_program(course, programs.NEVER_LISTENS)
    process = _begin(course, place)
    process.send_signal(signal.SIGSTOP)  # else it might be through before the other one looks
    (lives,) = place.iterdir()
    assert _grader(course, "check", "1", "--reference", TMPDIR=str(place)).returncode == 0
    assert list(place.iterdir()) == [lives]
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.communicate(timeout=60)


def test_a_course_that_is_named_and_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = _grader(tmp_path, "list")
    assert (result.returncode, result.stdout) == (2, "")
    assert "docs/errors.md#no-course" in result.stderr


def test_a_reader_that_leaves_ends_the_run_as_a_broken_pipe(course: Path, place: Path) -> None:
    _write_program(course, programs.NEVER_LISTENS)
    process = _begin(course, place)
    assert process.stdout is not None
    process.stdout.close()
    started = psutil.Process(process.pid).children(recursive=True)
    for child in started[:1]:
        child.kill()  # the session: what is said about that meets nobody
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    with process.stderr:
        assert "Traceback" not in process.stderr.read()
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []


def test_list_names_every_lab(course: Path) -> None:
    assert _grader(course, "list").stdout.startswith("lab-01  Echo")


def test_help_is_cheap() -> None:
    script = "import sys, grader.cli as c; c.build_parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"rich", "pytest", "psycopg", "httpx2", "pydantic", "aiohttp", "numpy", "psutil", "subprocess", "tomllib"}
    assert heavy.isdisjoint(loaded)


def test_a_bug_of_ours_is_told_as_such(
    course: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from grader import cli

    def explode(*_: object) -> object:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("grader.lab.find_lab", explode)
    assert cli.run_command(["--course", str(course), "check", "1"]) == 3
    assert "our own fault: ZeroDivisionError: boom" in capsys.readouterr().err


def test_git_is_never_run_in_the_learners_tree(course: Path, tmp_path: Path) -> None:
    """A hostile checkout runs commands of its own as soon as somebody asks git for its state."""
    ran = tmp_path / "ran"
    tool = tmp_path / "bin" / "git"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho called >> {ran}\n", "utf-8")
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    for folder in (course, course / "work" / TOY_LAB, course / "labs" / TOY_LAB):
        (folder / ".git").mkdir(parents=True)
        (folder / ".git" / "config").write_text(f"[core]\nfsmonitor = touch {ran}\nhooksPath = .\n", "utf-8")
    _write_program(course, programs.RIGHT)
    for argv in (["check", "1"], ["diff", "1"], ["reset", "1"], ["list"], ["wire", "1"], ["verify", "1"], ["doctor"]):
        _grader(course, *argv, PATH=path)
    assert not ran.exists()


def test_a_giant_in_the_work_folder_is_not_read_into_a_diff(course: Path) -> None:
    folder = _write_program(course, programs.RIGHT)
    with (folder / "giant.py").open("wb") as file:
        file.truncate(10**11)
    assert "(100,000,000,000 bytes, too long to compare line by line)" in _grader(course, "diff", "1").stdout
