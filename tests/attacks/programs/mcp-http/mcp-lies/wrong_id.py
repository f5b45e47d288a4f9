"""Answers with the id that comes next.

must not pass
sample
"""

import json

from right import answer, serve

serve(
    reply=lambda self, request: self.send(
        json.dumps({"jsonrpc": "2.0", "id": request["id"] + 1, **answer(request)}).encode()
    )
)
