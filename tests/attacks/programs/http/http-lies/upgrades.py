"""Answers that the protocol shall change.

must not pass
"""

from right import serve

serve(do_POST=lambda self: self.send(b"", 101, Upgrade="h2c", Connection="Upgrade", Content_Length=None))
