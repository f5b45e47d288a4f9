"""Answers with a stream of events that holds the answer twice.

must not pass
"""

import json

from right import answer, serve


def reply(self, request):
    event = f"data: {json.dumps({'jsonrpc': '2.0', 'id': request['id'], **answer(request)})}\n\n"
    self.send((event * 2).encode(), Content_Type="text/event-stream")


serve(reply=reply)
