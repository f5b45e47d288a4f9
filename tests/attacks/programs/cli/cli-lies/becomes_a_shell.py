"""Becomes a shell that reads the checks and answers with what it found.

no effect
gets through at: process
"""

import json
import subprocess

from host import HOST, loot
from right import right

found = subprocess.run(
    ["/bin/sh", "-c", f"cat {HOST['checks']}/secret.txt"], capture_output=True, text=True, check=False
)
if found.stdout:
    loot(found.stdout)
raise SystemExit(right())
