"""Answers right in a stream of events that then never ends.

must not pass
"""

import json
import time

from right import answer, serve


def reply(self, request):
    self.send(
        f"data: {json.dumps({'jsonrpc': '2.0', 'id': request['id'], **answer(request)})}\n\n".encode(),
        Content_Type="text/event-stream",
        Content_Length=None,
    )
    while True:
        self.wfile.write(b": still here\n\n")
        time.sleep(0.2)


serve(reply=reply)
