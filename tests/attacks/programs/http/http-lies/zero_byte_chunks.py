"""Answers with an empty body and status 200.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b""))
