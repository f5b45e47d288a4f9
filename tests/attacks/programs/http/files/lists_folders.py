"""Lists the folders around it.

no effect
gets through at: process
"""

import os

from host import HOST, attempt, loot
from right import serve

for path in (os.path.dirname(HOST["writable"]), HOST["checks"]):
    attempt(path, lambda path=path: os.listdir(path))
for path in ("/root", "/home"):
    try:
        found = [name for name in os.listdir(path) if name.startswith((".bash", ".profile", ".ssh", ".cache"))]
    except OSError:
        continue
    if found:  # folders that only lead to the interpreter tell nothing
        loot(f"{path}: {found}")
serve()
