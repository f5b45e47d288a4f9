"""Announces more than it sends, and hangs up.

must not pass
"""

import json

from right import serve


def reply(self):
    sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
    data = json.dumps({"text": sent["text"]}).encode()
    self.send(data, Content_Length=str(len(data) + 5))
    self.close_connection = True


serve(do_POST=reply)
