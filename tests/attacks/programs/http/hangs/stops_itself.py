"""Stops itself with SIGSTOP in the request: a stopped process handles no signal but one.

must not pass
"""

import os
import signal

from right import serve

serve(echo=lambda self, sent: os.kill(os.getpid(), signal.SIGSTOP))
