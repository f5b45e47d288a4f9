"""Prints two answers, a wrong one and the right one.

must not pass
"""

from right import right

print('{"sum": 0, "count": 0}')
raise SystemExit(right())
