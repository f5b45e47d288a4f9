"""`make bench`: how much a start of the command and a start of a learner's program cost, as ratios."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from grader.checking.program import base_environment
from grader.sandbox import Launcher, Level, Limits
from grader.sandbox.launcher import Warden

RUNS = 7
LIBRARIES = ("anthropic", "openai", "psycopg", "pydantic")


def main() -> None:
    """Print one line per measurement."""
    bare = _median(lambda: _command("-c", "pass"))
    shown = _median(lambda: _command("-m", "grader", "--help"))
    print(f"grader --help: {shown / bare:.1f} x python -c pass (CPU, median of {RUNS})")
    cold = _median(lambda: _command("-c", f"import {', '.join(LIBRARIES)}"))
    warm = _warm_start()
    print(f"start of a program that imports {', '.join(LIBRARIES)}: warm {warm / cold:.3f} x cold (median of {RUNS})")


def _command(*argv: str) -> float:
    """CPU seconds of one interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _warm_start() -> float:
    """Wall seconds from asking the warden for a program to its end; compared with CPU seconds of a cold start."""
    with tempfile.TemporaryDirectory(prefix="grader-") as name:
        folder = Path(name)
        (folder / "program.py").write_text(f"import {', '.join(LIBRARIES)}\n", "utf-8")
        with Warden(folder, LIBRARIES) as warden:
            launcher = Launcher(warden.path, level=Level.PROCESS)

            def start() -> float:
                began = time.monotonic()
                running = launcher.start(
                    (sys.executable, "program.py"),
                    environment=base_environment(folder),
                    folder=folder,
                    limits=Limits(),
                )
                if running.wait(60) != 0:
                    raise SystemExit(running.output.text())
                return time.monotonic() - began

            start()  # the warden imports the libraries before it serves the first
            median = _median(start)
            launcher.close()
            return median


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(RUNS))


if __name__ == "__main__":
    main()
