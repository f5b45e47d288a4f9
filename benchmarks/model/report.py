"""Plays the battery, measures the speed, and writes docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.model import battery, install, speed
from benchmarks.model.cases import CASES, in_order
from benchmarks.model.doubles import running

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
VERSIONS = {"ours": "this commit", "llmock": install.LLMOCK, "aimock": install.AIMOCK}
OTHERS = """The last ones are about what others have and ours has not.
The others are llmock (PyPI) and
@copilotkit/aimock (npm), each in an environment of its own, scripted over
HTTP as from any language (aimock has more words for its own JavaScript), with quotas and keys switched on where that
makes a case pass."""
FLOOR = f"""`floor` is a bare aiohttp handler that answers with the same bytes. p50 is of one client on a kept
connection, in the quietest of {speed.ROUNDS} rounds that the servers took in turns; replies per second of a core are
those of {speed.CLIENTS} clients at once, per second of CPU that the server used; a start is the CPU that the command
used until its port was open, best of {speed.STARTS}."""

Results = Mapping[str, Mapping[str, str]]  # by double, by case: "" or why not


def main() -> None:
    """Takes about three minutes, and installs the other doubles the first time."""
    within = speed.start_within_a_process()
    measured = speed.lines(speed.measure(), within)
    with running() as doubles:
        results = {double.name: battery.play(double) for double in doubles}
    text = page(results, measured)
    PAGE.write_text(text, "utf-8")
    print(text)


def page(results: Results, measured: Sequence[str]) -> str:
    """The page, in Markdown."""
    names = list(results)
    measured_on = (
        f"Written by `make bench` (`python -m benchmarks model`) on {datetime.now(UTC):%Y-%m-%d}, {platform.system()}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}. Times belong to "
        "that machine and hour."
    )
    parts = [
        "# The model double, measured",
        "",
        measured_on,
        "",
        "## Battery",
        "",
        f"{len(CASES)} cases with the official SDKs (benchmarks/model/cases_*.py). {OTHERS}",
        "",
        "| double | version | passes |",
        "|---|---|---|",
        *(f"| {name} | {VERSIONS[name]} | {_passed(results[name])} of {len(CASES)} |" for name in names),
        "",
        "## Speed",
        "",
        FLOOR,
        "",
        *measured,
        "",
        "## Every case",
        "",
        f"| case | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(
            f"| {case.name} | {' | '.join('yes' if not results[name][case.name] else 'no' for name in names)} |"
            for case in in_order()
        ),
        "",
    ]
    ours = results["ours"]
    missing = [f"- {case.name}: {ours[case.name]}" for case in in_order() if ours[case.name]]
    return "\n".join([*parts, "## What ours lacks", "", *missing, ""])


def _passed(result: Mapping[str, str]) -> int:
    return sum(not why for why in result.values())
