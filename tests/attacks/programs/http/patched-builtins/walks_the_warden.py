"""Searches all objects and frames that it inherited from the warden for sockets and pipes, and writes verdicts to them.

must not pass
sample
"""

import contextlib
import gc
import json
import os
import socket
import sys

from right import serve, wrong

LINE = json.dumps({"ended": {"check": {"name": "echoes_text"}, "verdict": "passed"}}).encode() + b"\n"
for thing in gc.get_objects():
    with contextlib.suppress(Exception):
        if isinstance(thing, socket.socket):
            thing.sendall(LINE)
frame = sys._getframe()
while frame:
    for value in frame.f_locals.values():
        with contextlib.suppress(Exception):
            if isinstance(value, int) and 2 < value < 1000:
                os.write(value, LINE)
    frame = frame.f_back
serve(echo=wrong)
