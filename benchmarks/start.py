"""How much a start of the command and a start of a learner's program cost, as ratios."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from grader.checking.program import base_environment
from grader.sandbox import Launcher, Level, Limits
from grader.sandbox.attack import attack
from grader.sandbox.launcher import Warden

RUNS = 7
STARTS = 20
MOST = 0.05  # of the cold start: what a warm one may cost
LIBRARIES = ("anthropic", "openai", "psycopg", "pydantic")


def main() -> None:
    """Print one line per measurement."""
    bare = _median(lambda: _command("-c", "pass"))
    shown = _median(lambda: _command("-m", "grader", "--help"))
    print(f"grader --help: {shown / bare:.1f} x python -c pass (CPU, median of {RUNS})")
    cold = _median(lambda: _command("-c", f"import {', '.join(LIBRARIES)}"))
    print(f"start of a program that imports {', '.join(LIBRARIES)}, CPU of all that it takes, against cold:")
    for level in (Level.PROCESS, Level.LANDLOCK, Level.BUBBLEWRAP):
        if weak := () if level is Level.PROCESS else attack(level).weak:
            print(f"  {level}: not here ({'; '.join(weak)})")
            continue
        warm = _cpu_of_a_start(level)
        print(f"  {level}: warm {warm / cold:.3f} x cold ({warm * 1000:.0f} ms, mean of {STARTS}; at most {MOST})")


def _command(*argv: str) -> float:
    """CPU seconds of one interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *argv], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu_of_a_start(level: Level) -> float:
    """CPU seconds per start of the keeper that forks and of all that it reaps: the program, its box, its doorman."""
    with tempfile.TemporaryDirectory(prefix="grader-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # where the grader is root, a throw-away user walks through it
        own = folder / "program"
        own.mkdir()
        (own / "program.py").write_text(f"import {', '.join(LIBRARIES)}\n", "utf-8")
        with Warden(folder, LIBRARIES) as warden:
            launcher = Launcher(warden.path, level=level)

            def start() -> None:
                running = launcher.start(
                    (sys.executable, "program.py"), environment=base_environment(own), folder=own, limits=Limits()
                )
                if running.wait(60) != 0:
                    raise SystemExit(running.last_words())

            start()  # the warden imports the libraries before it serves the first
            (process,) = (child for child in psutil.Process().children() if "grader.sandbox.warden" in child.cmdline())
            (keeper,) = process.children()
            before = sum(keeper.cpu_times()[:4])
            for _ in range(STARTS):
                start()
            used: float = sum(keeper.cpu_times()[:4]) - before
            launcher.close()
            return used / STARTS


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(RUNS))
