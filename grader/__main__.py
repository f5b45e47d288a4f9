"""The command `grader`: parse, run, print, exit; every error of ours ends here as a message with an exit code."""

from __future__ import annotations

import sys

from grader.cli import run_command


def main() -> None:
    """Entry point of the command."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
