"""Sends notifications for ever.

must not pass
sample
"""

from right import send

while True:
    send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "passed"}})
