"""Answers with a list, as an older revision allowed.

must not pass
"""

from right import answer, send, serve

serve(lambda request: send([{"jsonrpc": "2.0", "id": request["id"], **answer(request)}]))
