"""The curriculum's own gate: the quick proof of every lab in this checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.lab import list_folders, read_lab
from grader.verify import Depth, candidates, verify

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("folder", list_folders(ROOT))
def test_a_lab_tells_right_programs_from_wrong_ones(folder: str) -> None:
    lines: list[str] = []
    # One seed: a proof that fails must fail again. `make verify` draws others.
    code = verify(ROOT, [folder], depth=Depth(), seed=7, jobs=2, say=lines.append)
    assert code == 0, "\n".join(lines)


@pytest.mark.parametrize("folder", list_folders(ROOT))
def test_a_wrong_program_changes_some_file_of_the_reference(folder: str) -> None:
    for candidate in candidates(read_lab(ROOT, folder)):
        for path in candidate.overlay.rglob("*.*") if candidate.overlay else ():
            original = candidate.source / path.relative_to(candidate.overlay or ROOT)
            assert original.is_file(), f"{candidate.label} adds {path.name}: it must lie over a file of the reference"
            assert original.read_bytes() != path.read_bytes(), f"{candidate.label} changes nothing in {path.name}"
