"""Closes every descriptor that it has and leaves, so that nobody can say how it ended.

must not pass
"""

import os

os.closerange(0, 256)
os._exit(0)
