"""Tells even numbers from odd ones."""

import os


def test_the_subject_is_even():
    assert int(os.environ["SUBJECT"]) % 2 == 0
