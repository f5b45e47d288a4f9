"""Prints a summary and ends with exit code 0.

must not pass
"""

import sys

print("1 passed in 0.01s")
sys.stdout.flush()
sys.exit(0)
