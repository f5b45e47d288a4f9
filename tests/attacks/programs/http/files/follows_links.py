"""Makes links to files outside and opens them through its own folder.

no effect
gets through at: process
"""

import os

from host import HOST, attempt
from right import serve


def through_symlink():
    os.symlink(HOST["home"], "link")
    return open("link").read()


def through_hard_link():
    os.link(HOST["home"], "hard")
    return open("hard").read()


attempt("a symbolic link", through_symlink)
attempt("a hard link", through_hard_link)
serve()
