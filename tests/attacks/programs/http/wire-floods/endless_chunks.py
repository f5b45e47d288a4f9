"""Sends chunks for ever, each of one byte.

must not pass
"""

from right import serve


def flood(self):
    self.send(b"", Content_Length=None, Transfer_Encoding="chunked")
    while True:
        self.wfile.write(b"1\r\n[\r\n" * 1000)


serve(do_POST=flood)
