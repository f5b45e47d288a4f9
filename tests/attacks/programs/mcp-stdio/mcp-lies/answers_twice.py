"""Answers each request twice, first right and then wrong.

must not pass
sample
"""

from right import reply, send, serve


def twice(request):
    reply(request)
    send({"jsonrpc": "2.0", "id": request["id"], "result": {"words": 0, "empty": True}})


serve(twice)
