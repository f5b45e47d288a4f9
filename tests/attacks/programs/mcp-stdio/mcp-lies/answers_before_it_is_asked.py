"""Sends answers to requests that have not been made.

must not pass
"""

from right import send, serve

for number in range(1, 50):
    send({"jsonrpc": "2.0", "id": number, "result": {"words": 0, "empty": True}})
serve()
