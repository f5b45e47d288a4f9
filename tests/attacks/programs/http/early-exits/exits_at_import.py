"""Leaves with exit code 0 before it serves anything.

must not pass
sample
"""

import os

os._exit(0)
