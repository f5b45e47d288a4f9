"""Answers right and leaves a child that holds the streams open.

no effect
sample
"""

import os
import sys
import time

from right import right

code = right()
sys.stdout.flush()
if os.fork() == 0:
    time.sleep(3600)
os._exit(code)
