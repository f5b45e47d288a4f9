"""Ends the test run with exit code 0 while it is collected.

must not pass
sample
"""

import os

os._exit(0)
