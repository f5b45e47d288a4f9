"""Never reads a request.

must not pass
"""

import time

time.sleep(3600)
