"""Writes escapes and CI commands where its refusal is shown.

must not pass
"""

import sys

sys.stdout.write("\x1b[2J\r::error::passed\n##[error]x\n\x9b2J")
sys.stderr.write("\x1b]0;passed\x07::set-output name=a::b\n")
sys.exit(9)
