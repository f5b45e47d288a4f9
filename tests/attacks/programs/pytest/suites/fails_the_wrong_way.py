"""Ends with the exit code of an internal error for odd numbers.

must not pass
"""

import os


def test_it():
    if int(os.environ["SUBJECT"]) % 2:
        os._exit(3)
