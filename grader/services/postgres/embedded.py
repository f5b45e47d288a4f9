"""The embedded server as its users see it: connect to the one that runs, or start it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

import grader
from grader.errors import EnvironmentFault
from grader.services.postgres import engine, faults
from grader.services.postgres.cluster import Place
from grader.services.postgres.endpoint import Connection, Endpoint
from grader.services.postgres.home import Home
from grader.services.postgres.locks import held, locked

SECONDS_TO_START = 120.0  # twice an initdb on a slow disk under load


def attach(home: Home, name: str) -> tuple[Endpoint, Connection] | None:
    """A session on the server that runs; its idle stop is kept away while we log in."""
    with locked(home.start_lock, shared=True, seconds=SECONDS_TO_START):
        return _attach(home, name)


def _attach(home: Home, name: str) -> tuple[Endpoint, Connection] | None:
    state = home.state()
    try:
        place = Place(Path(state["data"]), Path(state["sockets"]))
        endpoint = replace(place.endpoint(home, int(state["port"])), source="running")
        return endpoint, endpoint.connect(name)
    except (KeyError, TypeError, ValueError, OSError, psycopg.OperationalError):
        return None  # never started, stopped or killed: whoever starts it next decides by its own look


def start(home: Home, name: str, *, keep: bool = False) -> tuple[Endpoint, Connection]:
    """A session on the server, started here unless somebody was faster.

    Raises:
        EnvironmentFault: it does not start (no-database, disk-full, cpu-too-old, database-start).
    """
    if engine.installed() is None:
        raise faults.no_database("no embedded server is installed and Docker's does not answer on 127.0.0.1:54329")
    with locked(home.start_lock, seconds=SECONDS_TO_START):
        if found := _attach(home, name):
            return found
        home.keep.unlink(missing_ok=True)
        for _ in range(2):  # a second time when the server is killed between its start and our first words
            _launch(home)
            if found := _attach(home, name):
                if keep:
                    home.keep.touch()
                return replace(found[0], source="embedded"), found[1]
    raise faults.start_failed(f"it started twice and did not stay; see '{home.log}'.")


def _launch(home: Home) -> None:
    """Start the supervisor and wait for its one line."""
    kept = ("HOME", "PATH", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "TMPDIR")
    environment = {key: value for key, value in os.environ.items() if key in kept or key.startswith("GRADER_")}
    ours = str(Path(grader.__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["GRADER_HOME"] = str(home.folder.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "grader.services.postgres.supervisor"],
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        line = _first_line(process.stdout.fileno(), SECONDS_TO_START)
        process.wait()
        complaint = b"" if line else os.read(process.stderr.fileno(), 4096)
    if not line:
        raise faults.start_failed(f"its supervisor ended early: {complaint.decode(errors='replace')} {_tail(home)}")
    said: dict[str, Any] = json.loads(line)
    if "slug" in said:
        raise EnvironmentFault(said["what"], mend=said["mend"], slug=said["slug"])


def _first_line(descriptor: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 65536) if readable else b""
        if not chunk:
            return b""
        line += chunk
    return line


def _tail(home: Home) -> str:
    try:
        return home.log.read_text(errors="replace")[-1000:]
    except OSError:
        return ""


def stop(home: Home) -> bool:
    """Stop the server and wait until it is down; False when none ran."""
    with locked(home.start_lock, seconds=SECONDS_TO_START):
        home.keep.unlink(missing_ok=True)
        supervisor = home.state().get("supervisor")
        if not isinstance(supervisor, int) or not held(home.supervisor_lock):
            return False
        os.kill(supervisor, signal.SIGTERM)
        with locked(home.supervisor_lock):  # it holds this lock for as long as it lives
            return True
