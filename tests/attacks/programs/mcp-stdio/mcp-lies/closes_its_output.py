"""Closes its standard output and lives on.

must not pass
"""

import os
import sys

os.close(1)
sys.stdin.read()
