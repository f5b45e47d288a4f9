"""Sends two answers to one request: a wrong one and, behind it, one that guesses the next.

must not pass
"""

import json

from right import serve


def reply(self):
    self.rfile.read(int(self.headers["Content-Length"]))
    for text in ("", "é "):
        self.send(json.dumps({"text": text}).encode())


serve(do_POST=reply)
