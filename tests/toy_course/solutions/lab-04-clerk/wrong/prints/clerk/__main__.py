"""Wrong: it logs on standard output. Counts words: one JSON-RPC message per line."""

import json
import sys


def answer(request):
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


for line in sys.stdin:
    request = json.loads(line)
    print("asked", flush=True)
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}), flush=True)
