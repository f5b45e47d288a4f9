"""Answers that it has kept the entry, and keeps nothing.

must not pass
"""

from right import serve

serve(keep=lambda text: None)
