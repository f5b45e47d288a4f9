"""Makes a folder so deep that its path is too long for those who clean up.

no effect
"""

import os

from right import serve

here = os.getcwd()
for _ in range(1200):
    os.mkdir("d" * 50)
    os.chdir("d" * 50)
os.chdir(here)
serve()
