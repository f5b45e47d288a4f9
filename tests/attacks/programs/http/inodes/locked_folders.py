"""Leaves folders that nobody may enter or empty.

no effect
"""

import os

from right import serve

os.makedirs("locked/inner")
os.chmod("locked/inner", 0)
os.chmod("locked", 0)
serve()
