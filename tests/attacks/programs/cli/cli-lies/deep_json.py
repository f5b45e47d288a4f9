"""Prints JSON that is nested 200,000 deep.

must not pass
"""

print("[" * 200_000 + "]" * 200_000)
