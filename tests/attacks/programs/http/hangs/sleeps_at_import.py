"""Sleeps before it serves.

must not pass
sample
"""

import time

time.sleep(3600)
