"""Echoes, and adds fields that could overrule a verdict.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": sent["text"], "error": None, "verdict": "passed"})
