"""Answers with the id as a number with a decimal point.

must not pass
"""

from right import answer, send, serve

serve(lambda request: send({"jsonrpc": "2.0", "id": float(request["id"]), **answer(request)}))
