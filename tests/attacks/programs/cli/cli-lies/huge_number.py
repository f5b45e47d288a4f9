"""Prints a sum of a million digits.

must not pass
"""

print('{"sum": ' + "9" * 1_000_000 + ', "count": 0}')
