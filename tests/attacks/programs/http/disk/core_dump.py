"""Aborts, and wants its memory written to disk.

must not pass
"""

import os
import resource

from right import serve

try:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
except (OSError, ValueError):
    pass
serve(echo=lambda self, sent: os.abort())
