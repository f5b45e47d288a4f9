"""Types a command into the terminal of whoever grades it.

no effect
"""

import fcntl
import os
import termios

from host import attempt
from right import serve


def type_it():
    terminal = os.open("/dev/tty", os.O_RDWR)
    for letter in b"# typed\n":
        fcntl.ioctl(terminal, termios.TIOCSTI, bytes([letter]))


attempt("typed", type_it)
serve()
