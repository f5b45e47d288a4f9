"""Announces a body of a terabyte.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b'{"text": ""}', Content_Length=str(10**12)))
