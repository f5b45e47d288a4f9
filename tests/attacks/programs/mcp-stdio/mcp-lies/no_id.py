"""Answers with the id null.

must not pass
"""

from right import answer, send, serve

serve(lambda request: send({"jsonrpc": "2.0", "id": None, **answer(request)}))
