"""Leaves a program with the set-user-id bit for others to run.

no effect
gets through at: process
"""

import os
import shutil

from host import HOST, attempt
from right import serve


def leave():
    target = os.path.dirname(HOST["writable"]) + "/tool"
    shutil.copyfile("/bin/true", target)
    os.chmod(target, 0o6755)
    os.remove(target)


attempt("a set-user-id program", leave)
serve()
