"""Sends headers for ever, one at a time.

must not pass
"""

import time

from right import serve


def trickle(self):
    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        self.wfile.write(b"X-More: yes\r\n")
        self.wfile.flush()
        time.sleep(0.1)


serve(do_POST=trickle)
