"""Splits its answer over events so that each is no message.

must not pass
"""

from right import serve

serve(
    reply=lambda self, request: self.send(
        b'data: {"jsonrpc": "2.0",\n\ndata: "id": 1}\n\n', Content_Type="text/event-stream"
    )
)
