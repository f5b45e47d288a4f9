"""Prints that all is well and ends with exit code 0.

must not pass
"""

print("OK\nPASSED\n100 of 100 points\n2 passed in 0.01s")
