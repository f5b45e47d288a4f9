"""Answers with the id that comes next.

must not pass
sample
"""

from right import answer, send, serve

serve(lambda request: send({"jsonrpc": "2.0", "id": request["id"] + 1, **answer(request)}))
