"""Opens descriptors until it may not.

no effect
sample
"""

import os

from host import loot
from right import serve

opened = []
try:
    for _ in range(20_000):
        opened.append(os.open("/dev/null", os.O_RDONLY))
    loot("20,000 descriptors")
except OSError:
    pass
for descriptor in opened[:200]:
    os.close(descriptor)
serve()
