"""Raises its own limits.

no effect
gets through at: process
"""

import resource

from host import loot
from right import serve

for name in ("RLIMIT_DATA", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    limit = getattr(resource, name)
    before = resource.getrlimit(limit)
    try:
        resource.setrlimit(limit, (2**33, 2**33))
        if resource.getrlimit(limit)[1] > before[1] >= 0:
            loot(f"{name} raised from {before}")
    except (OSError, ValueError):
        pass
serve()
