"""Answers a number of 900,000 digits, slow to read.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b'{"text": ' + b"9" * 900_000 + b"}"))
