"""Answers with the id as text.

must not pass
"""

from right import answer, send, serve

serve(lambda request: send({"jsonrpc": "2.0", "id": str(request["id"]), **answer(request)}))
