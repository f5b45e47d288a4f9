"""Interrupts itself, as if somebody had pressed Ctrl-C at the grader.

must not pass
"""

import os
import signal

from right import serve

serve(echo=lambda self, sent: os.kill(os.getpid(), signal.SIGINT))
