"""Fails whatever it is shown.

must not pass
"""


def test_it():
    assert False
