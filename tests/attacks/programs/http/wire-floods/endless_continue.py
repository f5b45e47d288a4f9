"""Sends "100 Continue" for ever.

must not pass
"""

from right import serve


def flood(self):
    while True:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


serve(do_POST=flood)
