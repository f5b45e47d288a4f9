"""The right answer to lab-04, for attacks to build on."""

import json
import sys

from host import LOOT


def answer(request):
    if request["method"] == "loot":
        return {"result": LOOT}
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def reply(request):
    send({"jsonrpc": "2.0", "id": request["id"], **answer(request)})


def serve(reply=reply):
    """Answer until the client leaves."""
    for line in sys.stdin:
        reply(json.loads(line))
