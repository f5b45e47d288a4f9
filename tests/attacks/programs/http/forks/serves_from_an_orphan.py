"""Lets a grandchild serve and ends itself: right work, but nobody to hold to account.

must not pass
"""

import os

from right import serve

if os.fork():
    os._exit(0)
os.setsid()
serve()
