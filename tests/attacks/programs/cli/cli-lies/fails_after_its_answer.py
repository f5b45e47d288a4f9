"""Prints the right answer and ends with exit code 7.

must not pass
"""

import sys

from right import right

right()
sys.exit(7)
