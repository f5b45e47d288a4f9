"""Stops a process of the same user.

no effect
gets through at: process
"""

import os
import signal

from host import HOST, attempt
from right import serve

attempt("stopped", lambda: os.kill(HOST["victim"], signal.SIGSTOP))
serve()
