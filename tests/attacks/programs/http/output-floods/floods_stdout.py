"""Prints for ever.

must not pass
sample
"""

while True:
    print("x" * 10_000)
