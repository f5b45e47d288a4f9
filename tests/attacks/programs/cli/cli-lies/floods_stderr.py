"""Prints for ever on standard error.

must not pass
"""

import sys

while True:
    sys.stderr.write("0" * 100_000)
