"""Answers right and dies of a signal whose number a careless grader takes for success.

must not pass
"""

import os
import signal

from right import right

right()
os.kill(os.getpid(), signal.SIGKILL)
