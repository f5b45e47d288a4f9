"""Raises SystemExit(0) while it is imported.

must not pass
"""

import sys

sys.exit(0)
