"""Redirects to itself, for ever.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b"", 302, Location=self.path))
