"""Opens for writing what the grader runs next time: its own modules, its libraries, start-up files.

no effect
gets through at: process
"""

import os
import sysconfig

from host import HOST, attempt
from right import serve

PLACES = [
    sysconfig.get_path("purelib") + "/pytest/__init__.py",
    sysconfig.get_path("stdlib") + "/json/__init__.py",
    HOST["checks"] + "/checks_loot.py",
    os.path.expanduser("~root/.bashrc"),
    "/etc/profile",
]
for path in PLACES:
    attempt(path, lambda path=path: open(path, "r+b").close())
serve()
