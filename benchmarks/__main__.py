"""`make bench`: `python -m benchmarks start` and `python -m benchmarks model`, or both without a name."""

from __future__ import annotations

import sys

from benchmarks import start
from benchmarks.model import report

PARTS = {"start": start.main, "model": report.main}


def main(names: list[str]) -> None:
    """Measure what was named."""
    if unknown := set(names) - set(PARTS):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
