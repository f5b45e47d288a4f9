"""Reads the hidden checks where they lie.

no effect
gets through at: process
sample
"""

from host import HOST, attempt
from right import serve

attempt("checks", lambda: open(HOST["checks"] + "/secret.txt").read())
attempt("reference", lambda: open(HOST["reference"] + "/secret.txt").read())
serve()
