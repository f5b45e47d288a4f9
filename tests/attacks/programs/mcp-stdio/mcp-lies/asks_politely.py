"""Asks the client a few things between its answers, which a server may.

no effect
"""

from right import reply, send, serve


def ask_first(request):
    if "method" in request:
        send({"jsonrpc": "2.0", "id": "mine", "method": "ping"})
        reply(request)


serve(ask_first)
