"""Changes, adds, renames and removes files outside its folder.

no effect
gets through at: process
sample
"""

import os

from host import HOST, attempt
from right import serve

attempt("append", lambda: open(HOST["writable"], "a").write("mine\n"))
attempt("new file", lambda: open(HOST["writable"] + ".new", "w").write("mine\n"))
attempt("rename", lambda: os.rename(HOST["writable"], HOST["writable"] + ".moved"))
attempt("truncate", lambda: os.truncate(HOST["writable"] + ".moved", 0))
attempt("mode", lambda: os.chmod(HOST["writable"] + ".moved", 0))
serve()
