"""Never ends.

must not pass
"""

import time


def test_it():
    time.sleep(3600)
