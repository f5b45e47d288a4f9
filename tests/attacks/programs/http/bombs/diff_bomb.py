"""Answers 900 KB that are almost right, so that showing the difference takes for ever.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": "\n".join([sent["text"] + "x", *["ab" * 20, "ba" * 20] * 10_000])})
