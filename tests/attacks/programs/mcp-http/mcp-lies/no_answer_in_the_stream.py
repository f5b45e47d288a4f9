"""Answers with a stream of events that holds no answer.

must not pass
"""

from right import serve

serve(
    reply=lambda self, request: self.send(
        b'data: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n', Content_Type="text/event-stream"
    )
)
