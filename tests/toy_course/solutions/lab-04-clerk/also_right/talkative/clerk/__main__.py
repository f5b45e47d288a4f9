"""Logs on standard error, sends a notification before each answer. Counts words: one JSON-RPC message per line."""

import json
import sys


def answer(request):
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        print("asked", request["id"], file=sys.stderr)
        print(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}), flush=True)
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}), flush=True)
