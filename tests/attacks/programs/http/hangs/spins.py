"""Computes for ever before it serves.

must not pass
"""

while True:
    pass
