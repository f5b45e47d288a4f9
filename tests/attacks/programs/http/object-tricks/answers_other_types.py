"""Answers what a loose comparison takes for the same: a list of one, a number as text.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": [sent["text"]]})
