"""What a program needs in its environment to work with a practice session, and the private file that keeps it."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from grader.errors import UsageError
from grader.lab import Lab
from grader.model import ModelDouble
from grader.places import cache_folder
from grader.submission import write_fault

KEY = "practice-key"
PORT = "8000"


def environment_of(lab: Lab, double: ModelDouble, database_url: str) -> dict[str, str]:
    """The variables that the lab's brief promises."""
    found = {"PORT": PORT, **lab.program.environment}
    if "anthropic" in lab.services.model:
        found |= {"ANTHROPIC_BASE_URL": double.anthropic_base_url, "ANTHROPIC_API_KEY": KEY}
    if "openai" in lab.services.model:
        found |= {"OPENAI_BASE_URL": double.openai_base_url, "OPENAI_API_KEY": KEY}
    if database_url:
        found["DATABASE_URL"] = database_url
    if settings := lab.services.postgres_settings:
        found["PGOPTIONS"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return found


def export_lines(environment: Mapping[str, str]) -> str:
    """For `eval`, in any POSIX shell."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


@contextmanager
def kept_environment(lab: Lab, environment: Mapping[str, str]) -> Iterator[Path]:
    """Keeps the variables in a file outside the tree that only its owner can read, while the block runs.

    Raises:
        UsageError: another session of this lab is running.
        EnvironmentFault: the file cannot be written.
    """
    path = _path(lab)
    if process := _running(path):
        raise UsageError(
            f"practice of {lab.name} is running already, as process {process}",
            mend=f"`grader up {lab.name} --export` prints its environment; stop it with Ctrl-C.",
            slug="already-practising",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.unlink(missing_ok=True)
        lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"# grader up {lab.name}, process {os.getpid()}\n{lines}")
    except OSError as error:
        raise write_fault(path, error) from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def running_environment(lab: Lab) -> dict[str, str]:
    """The variables of the session that is running.

    Raises:
        UsageError: none is.
    """
    path = _path(lab)
    if not _running(path):
        raise UsageError(
            f"no practice of {lab.name} is running",
            mend=f"Start `grader up {lab.name}` in another terminal first.",
            slug="not-practising",
        )
    pairs = (line.partition("=") for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def _path(lab: Lab) -> Path:
    tree = hashlib.sha256(str(lab.root).encode()).hexdigest()[:10]
    return cache_folder() / "practice" / f"{lab.name}-{tree}.env"


def _running(path: Path) -> int | None:
    """The process that wrote the file, if it lives."""
    try:
        process = int(path.read_text("utf-8").split("\n", 1)[0].rpartition(" ")[2])
        os.kill(process, 0)
    except (OSError, ValueError):
        return None
    return process
