"""Takes 4 GB while it answers.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {"text": sent["text"], "hog": len(b"x" * 2**32)})
