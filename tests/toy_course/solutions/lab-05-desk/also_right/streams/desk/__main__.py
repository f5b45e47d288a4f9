"""Answers with a stream of events. Counts words: one JSON-RPC message per POST."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(request):
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, b"{}", "application/json")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}
        events = [told, {"jsonrpc": "2.0", "id": request["id"], **answer(request)}]
        data = "".join(f"event: message\ndata: {json.dumps(event)}\n\n" for event in events)
        self.reply(200, data.encode(), "text/event-stream")

    def reply(self, status, data, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
