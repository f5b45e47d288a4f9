"""Accepts every request with 202 and never answers.

must not pass
"""

from right import serve

serve(reply=lambda self, request: self.send(b"", 202))
