"""Sends one line that never ends.

must not pass
"""

import sys

sys.stdout.write('{"jsonrpc": "2.0", "result": "')
while True:
    sys.stdout.write("x" * 65536)
