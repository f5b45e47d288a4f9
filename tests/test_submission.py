"""Only allow-listed regular files are staged; whatever else lies there stays behind or is named."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
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


def _socket(source: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(source / "app"):
        listener.bind("socket.py")


def _deep(source: Path) -> None:
    (source / Path("/".join(["d"] * 60))).mkdir(parents=True)


def _files(source: Path) -> None:
    for number in range(2100):
        (source / "app" / f"{number}.py").touch()


def _folders(source: Path) -> None:
    for number in range(20_100):
        (source / f"{number}").mkdir()


# Trees that somebody could hand in, and what comes of each: the files that are staged, or the error's slug.
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing_odd": (lambda _source: None, ""),
    "a_link_to_a_file": (lambda source: (source / "app" / "x.py").symlink_to("/etc/passwd"), "submission-link"),
    "a_link_to_a_folder": (lambda source: (source / "app" / "x").symlink_to("/etc"), ""),
    "a_link_to_itself": (lambda source: (source / "app" / "x.py").symlink_to("x.py"), "submission-link"),
    "a_pipe": (lambda source: os.mkfifo(source / "app" / "x.py"), "submission-link"),
    "a_socket": (_socket, "submission-link"),
    "a_sparse_giant": (lambda source: _truncated(source / "app" / "x.py", 10**11), "submission-too-large"),
    "many_files": (_files, "submission-too-large"),
    "many_folders": (_folders, "submission-too-large"),
    "deep_folders": (_deep, "submission-too-large"),
    "a_line_feed_in_a_name": (lambda source: (source / "app" / "a\n::error::.py").touch(), "submission-name"),
    "a_line_feed_in_a_name_not_handed_in": (lambda source: (source / "a\n::error::").touch(), ""),
    "bytes_that_are_no_text": (lambda source: _touched(os.fsencode(source) + b"/app/\xff\xfe.py"), "submission-name"),
    "a_name_that_turns_around": (lambda source: (source / "app" / "\u2028x.py").touch(), "submission-name"),
    "a_long_name": (lambda source: (source / "app" / ("x" * 190 + ".py")).touch(), "submission-name"),
    "poisoned_bytecode": (lambda source: _in(source / "app" / "__pycache__", "main.cpython-311.pyc"), ""),
    "a_git_folder": (lambda source: _in(source / ".git", "config"), ""),
    "a_git_folder_inside": (lambda source: _in(source / "app" / ".git", "hook.py"), ""),
    "a_hard_link": (lambda source: (source / "app" / "x.py").hardlink_to(__file__), "app/x.py"),
}


def _truncated(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _touched(path: bytes) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def _in(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("[core]\nfsmonitor = touch /tmp/evil\n")


@pytest.mark.parametrize("tree", HOSTILE)
def test_a_hostile_tree_is_refused_or_leaves_its_oddity_behind(source: Path, tmp_path: Path, tree: str) -> None:
    make, expected = HOSTILE[tree]
    make(source)
    if expected.startswith("submission-"):
        with pytest.raises(LearnerError) as caught:
            _names(source, tmp_path)
        assert caught.value.slug == expected
        assert "\n" not in caught.value.what
    else:
        staged = stage(source, tmp_path / "staged", ALLOWED)
        assert staged.files == tuple(sorted({"app/deep/more.py", "app/main.py", *filter(None, [expected])}))
        assert all((tmp_path / "staged" / name).stat().st_nlink == 1 for name in staged.files), "copies, never links"


def test_a_folder_that_becomes_a_link_is_not_followed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = submission._walk

    def swap(folder: Path) -> list[str]:
        found = walk(folder)
        (source / "app" / "deep").rename(source / "moved")
        (source / "app" / "deep").symlink_to(source / "moved")
        return found

    monkeypatch.setattr(submission, "_walk", swap)
    with pytest.raises(LearnerError, match="symbolic link"):
        stage(source, source.parent / "staged", ALLOWED)


def test_a_folder_that_cannot_be_read_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = os.open

    def refuse(path: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
        if path == "deep":
            raise PermissionError(13, "Permission denied")
        return really_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(LearnerError, match=r"'app/deep' is unreadable \(Permission denied\)"):
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
