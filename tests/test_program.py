"""The program as a check sees it: ports, restarts, and what is said when it cannot be reached."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from grader.checking import program as module
from grader.checking.expect import Mismatch, expect_equal, shown
from grader.checking.program import Program, Recipe, Response, base_environment
from grader.sandbox import Launcher, Level, Limits
from tests import programs


def _recipe(folder: Path) -> Recipe:
    (folder / "service.py").write_text(programs.RIGHT, "utf-8")
    return Recipe(
        argv=(sys.executable, "service.py"),
        folder=folder,
        environment={**base_environment(folder), "GREETING": "hi"},
        limits=Limits(memory_mb=512),
        ready_seconds=10,
    )


def test_a_port_that_was_taken_meanwhile_is_replaced(
    tmp_path: Path, warden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as thief, socket.socket() as free:
        for each in (thief, free):
            each.bind(("127.0.0.1", 0))
        thief.listen()
        ports = [thief.getsockname()[1], free.getsockname()[1]]
        free.close()
        monkeypatch.setattr(module, "_free_port", lambda: ports.pop(0))
        launcher = Launcher(warden, level=Level.PROCESS)
        program = Program(launcher, _recipe(tmp_path), seconds=5)
        assert program.get("/greeting").json() == {"text": "hi"}
        program.close()
        launcher.close()
    assert ports == []


def test_a_killed_program_is_dead_when_kill_returns(tmp_path: Path, warden: str) -> None:
    launcher = Launcher(warden, level=Level.PROCESS)
    program = Program(launcher, _recipe(tmp_path), seconds=5)
    program.kill()
    assert not program.alive
    assert program.running.exit_code == -9
    launcher.close()


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": NaN}', b'{"a": 1' + b"0" * 4000 + b"}", b'{"a": 1e999}', b"[" * 100_000, b"\xff", b""]
)
def test_a_body_that_is_not_json_is_a_mismatch(body: bytes) -> None:
    with pytest.raises(Mismatch, match="not JSON that can be read"):
        Response(200, {}, body, "GET /").json()


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (1, 1.0), ([1], [True]), ({"a": 1}, {"a": 1, "b": None}), ("1", 1)]
)
def test_equal_means_the_same_json_type(one: object, other: object) -> None:
    with pytest.raises(Mismatch):
        expect_equal(one, other, "it")
    expect_equal(one, one, "it")


def test_a_huge_value_is_cut_in_a_message() -> None:
    assert len(shown("x" * 10**6)) < 800
    assert "1,000,000 characters" in shown("x" * 10**6)
