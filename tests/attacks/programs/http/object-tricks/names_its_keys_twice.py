"""Sends the key twice, once right and once wrong: readers differ in which they take.

must not pass
"""

import json

from right import serve


def reply(self):
    sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    self.send(('{"text": "wrong", "text": %s}' % json.dumps(sent["text"])).encode())


serve(do_POST=reply)
