"""Answers as HTTP/0.9 did: no status, no headers.

must not pass
"""

from right import serve

serve(do_POST=lambda self: (self.wfile.write(b'{"text": ""}'), setattr(self, "close_connection", True)))
