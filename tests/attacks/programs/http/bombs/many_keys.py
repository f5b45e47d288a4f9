"""Answers an object of 100,000 keys.

must not pass
"""

from right import serve

serve(echo=lambda self, sent: {str(number): sent["text"] for number in range(60_000)})
