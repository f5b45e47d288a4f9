"""Makes 30,000 empty files, and answers nothing meanwhile.

must not pass
patient
"""

import time
from pathlib import Path

from right import serve

for number in range(30_000):
    Path(f"empty-{number}").touch()

serve(echo=lambda self, sent: time.sleep(3600))
