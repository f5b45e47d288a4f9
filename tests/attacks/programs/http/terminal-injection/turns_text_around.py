"""Hides what it printed with invisible characters and with text that runs from right to left.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": "\u202edessap\u2066\u200b\ufeff\u2028::notice::passed\x85::error::x"})
