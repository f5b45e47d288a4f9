"""Tells even numbers from odd ones."""

import os


def test_the_subject_is_even():
    assert os.environ["SUBJECT"][-1] in "02468"
