"""Tests nothing.

must not pass
"""


def test_it():
    assert True
