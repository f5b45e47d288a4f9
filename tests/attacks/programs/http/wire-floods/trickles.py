"""Answers one byte at a time, each just in time.

must not pass
"""

import time

from right import serve


def trickle(self):
    self.send(b"", Content_Length="100000")
    while True:
        self.wfile.write(b" ")
        time.sleep(0.2)


serve(do_POST=trickle)
