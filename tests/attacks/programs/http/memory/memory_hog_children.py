"""Takes 1.2 GB in twelve processes, none of which takes more than it may, and answers nothing meanwhile.

must not pass
patient
"""

import os
import time

from right import serve

for _ in range(12):
    if os.fork() == 0:
        hog = b"x" * (100 * 2**20)
        time.sleep(3600)

serve(echo=lambda self, sent: time.sleep(3600))
