"""In the forked child: confine it, then turn it into the learner's program."""

from __future__ import annotations

import atexit
import os
import random
import resource
import runpy
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from grader.sandbox.confine import Confinement, confine

_RESET = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OURS = Path(__file__).parent


def become(start: dict[str, Any], confinement: Confinement, streams: list[int], telling: int) -> NoReturn:
    """Confine this process and run the program.

    Args:
        start: the request's argv, environment, folder and limits.
        streams: its standard streams.
        telling: gets why the process could not be confined; closed without a word when it is.
    """
    try:
        _prepare(start, streams, telling)
        confine(confinement)
    except BaseException as error:  # noqa: BLE001 - a half-made child must never run the keeper's code
        os.write(telling, f"{type(error).__name__}: {error}".encode())
        os._exit(127)
    os.close(telling)
    argv = start["argv"]
    if not _is_plain_python(argv):
        try:
            os.execvpe(argv[0], argv, dict(os.environ))  # noqa: S606 - argv list, no shell: this is the point
        except BaseException as error:  # noqa: BLE001 - as above
            os.write(2, f"cannot start {argv}: {error}\n".encode())
            os._exit(127)
    _run_python(argv, ours=start["bounds"] is None)


def _prepare(start: dict[str, Any], streams: list[int], telling: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in _RESET:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.setsid()
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if sys.platform == "darwin" else 65536
    os.closerange(3, telling)
    os.closerange(telling + 1, highest)
    os.chdir(start["folder"])
    os.environ.clear()
    os.environ.update(start["environment"])
    time.tzset()  # the C library read TZ when the warden started
    for name, value in start["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))


def _is_plain_python(argv: list[str]) -> bool:
    """Whether argv is `python -m module …` or `python file.py …` of this very interpreter: those run warm."""
    return len(argv) > 1 and argv[0] == sys.executable and (argv[1] == "-m" or not argv[1].startswith("-"))


def _run_python(argv: list[str], *, ours: bool) -> NoReturn:
    """Run `python …` in this forked, warm interpreter as if it had just been started."""
    sys.stdin, sys.stdout, sys.stderr = (
        open(0, encoding="utf-8", closefd=False),  # noqa: SIM115 - lives as long as the process
        open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),  # noqa: SIM115
        open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False),  # noqa: SIM115
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
    random.seed()  # else every fork would draw the same numbers
    if not ours:
        for name in [name for name in sys.modules if name.partition(".")[0] == "grader"]:
            del sys.modules[name]  # nothing of ours is there to be imported
    code = 0
    try:
        if argv[1] == "-m":
            sys.argv = [argv[2], *argv[3:]]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv = argv[1:]
            sys.path.insert(0, str(Path(argv[1]).resolve().parent))
            runpy.run_path(argv[1], run_name="__main__")
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
        if isinstance(leave.code, str):
            sys.stderr.write(leave.code + "\n")
    except BaseException:  # noqa: BLE001 - as the interpreter does: print it and exit 1
        _print_own_traceback()
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - what the interpreter does at exit
        atexit._run_exitfuncs()  # noqa: SLF001 - as above
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF)


def _print_own_traceback() -> None:
    """Print the traceback from the learner's first frame on: the frames above it are ours."""
    kind, error, frames = sys.exc_info()
    while frames and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(kind, error, frames)


def _is_ours(file: str) -> bool:
    return file == "<frozen runpy>" or Path(file).parent == _OURS
