"""Answers JSON that is nested 500,000 deep.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b"[" * 500_000 + b"]" * 500_000))
