"""Answers 1 for true and text for a number.

must not pass
"""

from right import answer, send, serve


def loose(request):
    result = answer(request).get("result", {})
    send({"jsonrpc": "2.0", "id": request["id"], "result": {name: int(value) for name, value in result.items()}})


serve(loose)
