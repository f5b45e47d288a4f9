"""Ends the test run with exit code 0 in the middle of a test.

must not pass
"""

import os


def test_it():
    os._exit(0)
