"""Fills its folder with 700 MB in files of 20 MB, none of which is larger than it may be, and answers nothing meanwhile.

must not pass
patient
"""

import time

from right import serve

for number in range(35):
    with open(f"hog-{number}", "wb") as file:
        file.write(b"x" * (20 * 2**20))

serve(echo=lambda self, sent: time.sleep(3600))
