"""Prints for ever on standard output.

must not pass
sample
"""

while True:
    print("0" * 100_000)
