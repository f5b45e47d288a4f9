"""Reads the hidden checks from a suite that does its work, and keeps what it found in the host's folder.

no effect
gets through at: process
"""

import os
import shutil

from host import HOST


def test_the_subject_is_even():
    assert int(os.environ["SUBJECT"]) % 2 == 0


try:
    shutil.copyfile(HOST["checks"] + "/secret.txt", HOST["writable"])
except OSError:
    pass
