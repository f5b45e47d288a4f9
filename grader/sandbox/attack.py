"""Finds out what a level is worth by attacking it: starts `probe` at that level beside targets that are there."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from grader.errors import GraderError
from grader.places import cache_folder
from grader.sandbox import probe
from grader.sandbox.launcher import Launcher, Warden, not_confined
from grader.sandbox.levels import Level, Trial
from grader.sandbox.limits import Limits

_SECONDS = 20.0


def attack(level: Level) -> Trial:
    """What gets through at this level, or why it cannot be had.

    Raises:
        GraderError: nothing at all can be started here.
    """
    with _folder() as folder, _targets(folder) as targets:
        program = folder / "program"
        program.mkdir()
        shutil.copyfile(probe.__file__, program / "probe.py")
        with Warden(folder) as warden:
            launcher = Launcher(warden.path, level=level)
            try:
                running = launcher.start(
                    (sys.executable, "probe.py", json.dumps(targets)),
                    environment={"PATH": os.defpath, "HOME": str(program), "TMPDIR": str(program)},
                    folder=program,
                    limits=Limits(),
                )
                running.wait(_SECONDS)
                said = running.last_words()
            except GraderError as error:
                return Trial(level, (error.what.removeprefix(not_confined(level)),))
            finally:
                launcher.close()
    return Trial(level, _through(said, targets["nonce"]))


def _through(said: str, nonce: str) -> tuple[str, ...]:
    with suppress(ValueError, KeyError, TypeError):
        report = json.loads(said)
        if report["nonce"] == nonce:
            return tuple(map(str, report["through"]))
    return (f"a program does not run there: {said.strip()[-300:] or 'it prints nothing'}",)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="grader-") as name:
        folder = Path(name).resolve()
        if os.geteuid() == 0:
            folder.chmod(0o711)  # a throw-away user walks through it
        yield folder


@contextmanager
def _targets(folder: Path) -> Iterator[dict[str, Any]]:
    """Services, a process and files as the machine's owner has them, and where they are."""
    nonce = secrets.token_hex(8)
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(str(folder / "target"))
        unix.listen()
        os.chmod(folder / "target", 0o777)  # noqa: S103 - the level, not its mode, must keep others out
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        if sys.platform == "linux":
            abstract.bind(f"\0grader-{nonce}")
            abstract.listen()
        for listener in (tcp, udp):
            listener.settimeout(_SECONDS)
            threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        victim = subprocess.Popen(["/bin/sh", "-c", "read _"], stdin=subprocess.PIPE, env={"SECRET": nonce})
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        canary = stack.enter_context(_canary())
        yield {
            "nonce": nonce,
            "checks": str(Path(__file__).parent.parent / "checks" / "__init__.py"),
            "canary": canary,
            "victim": victim.pid,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(folder / "target"),
            "abstract": f"grader-{nonce}",
        }
        if victim.stdin:
            victim.stdin.close()


@contextmanager
def _canary() -> Iterator[str]:
    """A file in the user's own folders, or outside of the program's at least where those cannot be written."""
    place: Path | None = cache_folder()
    try:
        assert place is not None
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        place = None
    with tempfile.NamedTemporaryFile(prefix="canary-", dir=place) as canary:
        canary.write(b"canary")
        canary.flush()
        if os.geteuid() == 0:
            os.chmod(canary.name, 0o666)  # noqa: S103 - as above
        yield canary.name


def _answer(listener: socket.socket) -> None:
    """Answer one byte to whoever comes, until the socket is closed."""
    with suppress(OSError):
        while True:
            if listener.type == socket.SOCK_DGRAM:
                _, sender = listener.recvfrom(64)
                listener.sendto(b"x", sender)
            else:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"x")
