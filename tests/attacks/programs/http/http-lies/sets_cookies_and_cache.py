"""Tries to make the grader keep its first answer: cookies, caching, early hints.

must not pass
"""

from right import serve, wrong

serve(
    do_POST=lambda self: self.answer(
        wrong(), 200, Cache_Control="public, max-age=1000000", Set_Cookie="a=b; Domain=127.0.0.1"
    )
)
