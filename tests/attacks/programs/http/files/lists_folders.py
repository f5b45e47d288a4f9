"""Lists the folders around it.

no effect
gets through at: process
"""

import os

from host import HOST, attempt
from right import serve

for path in (os.path.dirname(HOST["writable"]), HOST["checks"], "/root", "/home"):
    attempt(path, lambda path=path: os.listdir(path))
serve()
