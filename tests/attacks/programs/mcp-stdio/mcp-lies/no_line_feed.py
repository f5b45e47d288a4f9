"""Answers without the line feed at the end.

must not pass
"""

import json
import sys

from right import answer, serve


def reply(request):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}))
    sys.stdout.flush()


serve(reply)
