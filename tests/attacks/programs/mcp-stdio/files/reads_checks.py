"""Reads the hidden checks, over standard streams.

no effect
gets through at: process
"""

from host import HOST, attempt
from right import serve

attempt("checks", lambda: open(HOST["checks"] + "/secret.txt").read())
serve()
