"""Draws a green summary over the grader's own with terminal escapes.

must not pass
sample
"""

import sys

sys.stdout.write("\x1b[2J\x1b[H\x1b[32m✓ 2 passed\x1b[0m\r100 of 100 points\x1b]0;passed\x07\x9b2J")
sys.stdout.flush()
sys.exit(3)
