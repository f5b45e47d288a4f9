"""Writes one file of 300 MB.

no effect
"""

from host import attempt
from right import serve


def make():
    with open("large", "wb") as file:
        for _ in range(300):
            file.write(bytes(2**20))
    return "300 MB"


attempt("a file", make)
serve()
