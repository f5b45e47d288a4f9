"""Answers right, compressed, which was not asked for.

must not pass
"""

import gzip
import json

from right import answer, serve


def reply(self, request):
    data = json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}).encode()
    self.send(gzip.compress(data), Content_Encoding="gzip")


serve(reply=reply)
