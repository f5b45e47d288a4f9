"""Answers JSON that is nested 100,000 deep.

must not pass
"""

import sys

sys.stdout.write("[" * 100_000 + "]" * 100_000 + "\n")
sys.stdout.flush()
sys.stdin.read()
