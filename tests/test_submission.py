"""Only allow-listed regular files are staged; whatever else lies there stays behind or is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grader import submission
from grader.errors import EnvironmentFault, LearnerError, UsageError
from grader.submission import stage

ALLOWED = ("app/**/*.py", "*.md", "data/?.txt")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "app" / "deep").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("print(1)")
    (folder / "app" / "deep" / "more.py").write_text("print(2)")
    return folder


def _names(source: Path, tmp_path: Path) -> tuple[str, ...]:
    return stage(source, tmp_path / "staged", ALLOWED).files


def test_globs_choose_what_is_staged(source: Path, tmp_path: Path) -> None:
    (source / "notes.md").write_text("notes")
    (source / "app" / "notes.md").write_text("not at the top")
    (source / "data").mkdir()
    (source / "data" / "a.txt").write_text("a")
    (source / "data" / "ab.txt").write_text("ab")
    assert _names(source, tmp_path) == ("app/deep/more.py", "app/main.py", "data/a.txt", "notes.md")
    assert (tmp_path / "staged" / "app" / "deep" / "more.py").read_text() == "print(2)"


@pytest.mark.parametrize(
    "name", ["conftest.py", "sitecustomize.py", "usercustomize.py", "pytest.ini", "x.pth", "Conftest.py", "main.pyc"]
)
def test_files_that_run_by_themselves_stay_behind(source: Path, tmp_path: Path, name: str) -> None:
    (source / "app" / name).write_text("raise SystemExit")
    staged = stage(source, tmp_path / "staged", ("app/**/*",))
    assert f"app/{name}" not in staged.files
    assert "app/main.py" in staged.files


@pytest.mark.parametrize("folder", ["__pycache__", ".git", ".venv", "node_modules"])
def test_caches_stay_behind(source: Path, tmp_path: Path, folder: str) -> None:
    (source / "app" / folder).mkdir()
    (source / "app" / folder / "junk.py").write_text("junk")
    assert _names(source, tmp_path) == ("app/deep/more.py", "app/main.py")


def test_a_link_among_the_allowed_files_is_refused(source: Path, tmp_path: Path) -> None:
    (source / "app" / "secret.py").symlink_to("/etc/passwd")
    with pytest.raises(LearnerError, match=r"'app/secret.py' is a symbolic link") as caught:
        _names(source, tmp_path)
    assert caught.value.slug == "submission-link"


def test_a_linked_folder_is_not_entered(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "hidden.py").write_text("hidden")
    (source / "app" / "linked").symlink_to(tmp_path / "elsewhere")
    assert "app/linked/hidden.py" not in _names(source, tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "app" / "pipe.py")
    with pytest.raises(LearnerError, match="not a regular file"):
        _names(source, tmp_path)


def test_a_sparse_giant_is_refused(source: Path, tmp_path: Path) -> None:
    with (source / "app" / "giant.py").open("wb") as file:
        file.truncate(10**11)
    with pytest.raises(LearnerError) as caught:
        _names(source, tmp_path)
    assert caught.value.slug == "submission-too-large"


def test_too_many_files_are_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission, "MAX_FILES", 5)
    for number in range(6):
        (source / "app" / f"m{number}.py").write_text("")
    with pytest.raises(LearnerError, match="more than 5 files"):
        _names(source, tmp_path)


def test_nothing_to_hand_in_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LearnerError, match="none of the files") as caught:
        _names(tmp_path / "empty", tmp_path)
    assert "app/**/*.py" in caught.value.mend


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        _names(tmp_path / "nowhere", tmp_path)


def test_a_full_disk_has_its_own_slug(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(_self: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentFault) as caught:
        _names(source, tmp_path)
    assert caught.value.slug == "disk-full"


def test_the_digest_follows_names_and_contents(source: Path, tmp_path: Path) -> None:
    first = stage(source, tmp_path / "one", ALLOWED).digest
    assert stage(source, tmp_path / "two", ALLOWED).digest == first
    (source / "app" / "main.py").write_text("print(3)")
    changed = stage(source, tmp_path / "three", ALLOWED).digest
    (source / "app" / "main.py").rename(source / "app" / "moved.py")
    assert len({first, changed, stage(source, tmp_path / "four", ALLOWED).digest}) == 3
