"""Kills a process of the same user.

no effect
gets through at: process
sample
"""

import os
import signal

from host import HOST, attempt
from right import serve

attempt("killed", lambda: os.kill(HOST["victim"], signal.SIGKILL))
serve()
