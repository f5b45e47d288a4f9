"""Answers the examples that stand in the checks, and nothing else.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": sent["text"] if sent["text"] in ("", "é ") else "0.5"})
