"""Makes a file of 100 GB.

no effect
sample
"""

from host import attempt
from right import serve


def make():
    with open("giant", "wb") as file:
        file.truncate(10**11)
        return "100 GB"


attempt("a file", make)
serve()
