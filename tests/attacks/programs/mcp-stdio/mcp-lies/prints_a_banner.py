"""Prints a banner on standard output: an honest mistake that breaks clients.

must not pass
"""

from right import serve

print("clerk 1.0 ready", flush=True)
serve()
