"""Runs one attack in this process, which is process 1 of its namespace: `python -m tests.attacks.alone ID LEVEL`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from grader.sandbox import Level
from tests.attacks.attack import PROGRAMS, read_attack
from tests.attacks.battery import Battery


def main(attack_id: str, level: str) -> None:
    """Print the outcome as JSON."""
    path = PROGRAMS / attack_id
    attack = read_attack(path if path.is_dir() else path.with_suffix(".py"))
    with Battery() as battery:
        outcome = battery.run_here(attack, Level(level))
    sys.stdout.write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
