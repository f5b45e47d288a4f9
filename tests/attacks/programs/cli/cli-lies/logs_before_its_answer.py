"""Prints a log line before its answer: an honest mistake that a lenient reader would forgive.

must not pass
"""

from right import right

print("starting")
raise SystemExit(right())
