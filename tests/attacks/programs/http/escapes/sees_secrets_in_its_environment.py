"""Looks for anything in its environment that its brief does not promise.

no effect
"""

import os

from host import loot
from right import serve

PROMISED = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "PORT", "GREETING", "TOKEN", "LC_CTYPE"}
for name in sorted(os.environ.keys() - PROMISED):
    loot(f"{name}={os.environ[name]}")
serve()
