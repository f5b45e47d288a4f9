"""Looks for descriptors that were left open for it.

no effect
sample
"""

import os

from host import loot
from right import serve

for name in os.listdir("/proc/self/fd"):
    try:
        if int(name) > 2:
            loot(f"{name}: {os.readlink(f'/proc/self/fd/{name}')}")
    except OSError:
        pass  # the listing itself
serve()
