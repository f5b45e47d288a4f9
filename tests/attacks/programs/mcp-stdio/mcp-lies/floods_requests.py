"""Asks the client for its model's answers, for ever.

must not pass
"""

from right import send

number = 0
while True:
    number += 1
    send({"jsonrpc": "2.0", "id": number, "method": "sampling/createMessage", "params": {"messages": []}})
