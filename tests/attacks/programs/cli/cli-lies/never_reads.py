"""Never reads its input, and hangs.

must not pass
"""

import time

time.sleep(3600)
