"""Prints bytes that are no text, before it fails.

must not pass
"""

import os

os.write(1, bytes(range(256)) * 4 + b"\xed\xa0\x80\xff\xfe")
os._exit(4)
