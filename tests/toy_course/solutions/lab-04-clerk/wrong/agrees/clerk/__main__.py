"""Wrong: knows every method. Counts words: one JSON-RPC message per line."""

import json
import sys


def answer(request):
    if request["method"] != "tools/call":
        return {"result": {}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}), flush=True)
