"""Skips all tests, which some count as success.

must not pass
"""

import pytest


@pytest.mark.skip
def test_it():
    assert False
