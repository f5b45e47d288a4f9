"""Keeps two processes that start each other again when one is killed.

no effect
"""

import os
import time

from right import serve


def guard():
    os.setsid()
    while True:
        child = os.fork()
        if child == 0:
            time.sleep(3600)
            os._exit(0)
        os.waitpid(child, 0)


for _ in range(2):
    if os.fork() == 0:
        guard()
serve()
