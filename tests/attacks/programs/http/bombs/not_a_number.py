"""Answers NaN, which is equal to nothing and breaks orders.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b'{"text": NaN}'))
