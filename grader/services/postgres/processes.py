"""Child processes that do not outlive us, and what earlier ones left running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
SECONDS_TO_LEAVE = 3.0


def tied_to_us(signum: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program, so that the kernel signals it when we die."""
    parent = os.getpid()

    def tie() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return tie


def end(process: subprocess.Popen[bytes], signum: signal.Signals = signal.SIGQUIT) -> None:
    process.send_signal(signum)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def watch_over(postmaster: int) -> subprocess.Popen[bytes]:
    """Where the kernel cannot tie the server to us: a shell that outlives us only to stop it.

    It waits for the end of a pipe that only we hold open.
    """
    script = 'read -r _; kill -INT "$1"'
    return subprocess.Popen(["/bin/sh", "-c", script, "sh", str(postmaster)], stdin=subprocess.PIPE, cwd="/")


def clear_orphans(data: Path) -> None:
    """End what an earlier server left running on these files; the caller holds the supervisor's lock.

    A killed server's sessions notice within moments, but one that computes may not: it would block the next start.
    """
    if not Path("/proc/self").exists():  # macOS: PostgreSQL judges its own lock file
        return
    deadline = time.monotonic() + SECONDS_TO_LEAVE
    while orphans := processes_in(data):
        if time.monotonic() > deadline:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            deadline += SECONDS_TO_LEAVE
        time.sleep(0.02)  # they are not our children: nothing reports their end
    (data / "postmaster.pid").unlink(missing_ok=True)  # nobody lives there, whatever process has that number now


def processes_in(data: Path) -> list[int]:
    found = []
    data = data.resolve()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if (entry / "cwd").readlink() == data:
                    found.append(int(entry.name))
    return found
