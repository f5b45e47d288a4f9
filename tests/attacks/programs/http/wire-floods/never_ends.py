"""Answers with a body that never ends.

must not pass
sample
"""

from right import serve


def flood(self):
    self.send(b"", Content_Length=None, Connection="close")
    while True:
        self.wfile.write(b"[" * 65536)


serve(do_POST=flood)
