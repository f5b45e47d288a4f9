"""Installs the other doubles, each in an environment of its own under .cache/, once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "benchmarks"
LLMOCK = "0.2.2"
AIMOCK = "1.43.0"


def llmock() -> Path | None:
    """The command of llmock (PyPI), or None when it cannot be installed."""
    home = CACHE / f"llmock-{LLMOCK}"
    command = home / "bin" / "llmock"
    if not command.exists():
        venv.create(home, with_pip=True, clear=True)
        if not _ran([str(home / "bin" / "pip"), "install", "--quiet", f"llmock=={LLMOCK}"]):
            shutil.rmtree(home)
            return None
    return command


def aimock() -> Path | None:
    """The command of @copilotkit/aimock (npm), or None without Node or when it cannot be installed."""
    home = CACHE / f"aimock-{AIMOCK}"
    command = home / "node_modules" / ".bin" / "llmock"
    if not command.exists():
        if shutil.which("npm") is None:
            return None
        home.mkdir(parents=True, exist_ok=True)
        if not _ran(["npm", "install", "--silent", "--prefix", str(home), f"@copilotkit/aimock@{AIMOCK}"]):
            shutil.rmtree(home)
            return None
    return command


def _ran(command: list[str]) -> bool:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.stderr.write(ended.stderr[-1000:])
    return ended.returncode == 0
