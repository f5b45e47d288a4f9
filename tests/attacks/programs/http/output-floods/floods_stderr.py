"""Prints on standard error for ever from a thread, and echoes right meanwhile.

must not pass
"""

import sys
import threading

from right import serve


def flood():
    while True:
        sys.stderr.write("x" * 10_000)


def reply(self, sent):
    threading.Thread(target=flood, daemon=True).start()
    return {"text": sent["text"], "late": True}


serve(echo=reply)
