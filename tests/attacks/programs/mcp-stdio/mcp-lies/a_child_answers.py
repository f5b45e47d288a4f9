"""Leaves, and lets a child answer: nobody to hold to account.

must not pass
"""

import os
import sys

from right import serve

if os.fork():
    os._exit(0)
os.setsid()
serve()
