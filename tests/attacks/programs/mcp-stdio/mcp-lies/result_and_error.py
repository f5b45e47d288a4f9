"""Answers with a result and an error at once.

must not pass
"""

from right import answer, send, serve

serve(
    lambda request: send(
        {"jsonrpc": "2.0", "id": request["id"], "result": {}, "error": {"code": 1, "message": ""}, **answer(request)}
    )
)
