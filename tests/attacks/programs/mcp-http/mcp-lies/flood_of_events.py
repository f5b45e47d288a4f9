"""Answers with events without end.

must not pass
"""

from right import serve


def reply(self, request):
    self.send(b"", Content_Type="text/event-stream", Content_Length=None)
    while True:
        self.wfile.write(b'data: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n' * 1000)


serve(reply=reply)
