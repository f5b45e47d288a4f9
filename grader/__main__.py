"""The command `grader`: run the command line and exit; a signal ends it in order, a second one changes nothing."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from grader.errors import EXIT_SIGNAL, Interrupted

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Entry point of the command."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and shells mean it when they ignore one
            signal.signal(number, _interrupt)
    try:
        from grader.cli import run_command  # noqa: PLC0415 - a signal may come while it is loaded

        code = run_command(sys.argv[1:])
        _ignore_more()
    except Interrupted as interrupted:
        code = EXIT_SIGNAL + interrupted.number
    sys.exit(code)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """End the command; it takes some moments to stop what runs, and nothing shall cut that short."""
    _ignore_more()
    raise Interrupted(number)


def _ignore_more() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
