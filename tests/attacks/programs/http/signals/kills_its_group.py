"""Kills its process group, in case the grader is in it.

must not pass
"""

import os
import signal

from right import serve

serve(echo=lambda self, sent: os.killpg(0, signal.SIGKILL))
