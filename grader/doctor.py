"""Looks for what could stop a run on this machine, and names the command that mends each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.errors import GraderError
from grader.lab import find_lab, list_folders
from grader.sandbox.levels import Level

NEEDED_GB = 2
_PACKAGES = (
    "anthropic",
    "openai",
    "fastapi",
    "uvicorn",
    "psycopg",
    "pgvector",
    "wordllama",
    "bm25s",
    "aiohttp",
    "httpx2",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is good, what was seen, and how to mend it ("" when good)."""

    good: bool
    what: str
    mend: str = ""


def examine(root: Path) -> list[Finding]:
    """Look at everything, even after something bad was found."""
    looks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _course,
        _folders,
        _program_start,
        _isolation,
        _database,
    )
    return [finding for look in looks for finding in look(root)]


def _python(_root: Path) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    isolated = sys.prefix != sys.base_prefix
    yield Finding(
        isolated,
        f"Python {version}, {'in' if isolated else 'not in'} a virtual environment",
        "" if isolated else "Run `make test` once: it makes .venv. Then use .venv/bin/grader.",
    )


def _packages(_root: Path) -> Iterator[Finding]:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    yield Finding(
        not missing,
        f"packages: {'all there' if not missing else 'missing ' + ', '.join(missing)}",
        "" if not missing else "uv pip install -c constraints.txt -e .",
    )


def _course(root: Path) -> Iterator[Finding]:
    bad: list[GraderError] = []
    for folder in list_folders(root):
        try:
            find_lab(root, folder, root)
        except GraderError as error:
            bad.append(error)
    yield from (Finding(good=False, what=found.what, mend=found.mend) for found in bad)
    if not bad:
        yield Finding(good=True, what=f"course: {len(list_folders(root))} lab(s) readable")


def _folders(root: Path) -> Iterator[Finding]:
    for folder, use in ((Path(tempfile.gettempdir()), "temporary files"), (root, "work/ and the last run's journal")):
        writable = os.access(folder, os.W_OK)
        yield Finding(
            writable,
            f"{folder} ({use}): {'writable' if writable else 'not writable'}",
            "" if writable else f"Make it writable: chmod u+w {folder} (or set TMPDIR)",
        )
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    yield Finding(
        free > NEEDED_GB,
        f"{free:.0f} GB free for temporary files",
        "" if free > NEEDED_GB else f"Free {NEEDED_GB} GB, or set TMPDIR to a larger disk.",
    )


def _program_start(_root: Path) -> Iterator[Finding]:
    from grader.sandbox import Launcher, Limits  # noqa: PLC0415 - psutil and threads only when it is run
    from grader.sandbox.launcher import Warden  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="grader-") as folder:
        try:
            with Warden(Path(folder)) as warden:
                launcher = Launcher(warden.path, level=Level.PROCESS)
                running = launcher.start(
                    (sys.executable, "-c", "print('started')"), environment={}, folder=Path(folder), limits=Limits()
                )
                code = running.wait(20)
                launcher.close()
        except GraderError as error:
            yield Finding(good=False, what=error.what, mend=error.mend)
            return
    yield Finding(
        code == 0,
        f"a program {'starts and ends' if code == 0 else f'ended with {code}'} under the grader's limits",
        "" if code == 0 else "See docs/errors.md#warden-lost.",
    )


def _isolation(_root: Path) -> Iterator[Finding]:
    from grader.sandbox.choose import choose  # noqa: PLC0415 - as above

    isolation = choose(afresh=True)
    why = f" ({isolation.reason})" if isolation.reason else ""
    # A weaker level stops no run: it is good, and can be better.
    yield Finding(good=True, what=f"isolation: {isolation.level.label}{why}", mend=isolation.mend)


def _database(_root: Path) -> Iterator[Finding]:
    from grader.services.postgres import EMPTY, lease  # noqa: PLC0415 - psycopg only when it is run

    try:
        with lease("doctor") as server:
            database = server.create(EMPTY)
            rows = database.rows("SELECT '[1,2,3]'::public.vector OPERATOR(public.<->) '[3,2,1]'::public.vector AS d")
            what = f"PostgreSQL {server.version} with pgvector {server.pgvector} ({server.source}, {server.mode} mode)"
            yield Finding(good=bool(rows), what=f"database: {what}")
    except GraderError as error:
        yield Finding(good=False, what=f"database: {error.what}", mend=error.mend)
