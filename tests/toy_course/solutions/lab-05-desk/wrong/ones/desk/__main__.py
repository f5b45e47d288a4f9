"""Wrong: 1 for true. Counts words: one JSON-RPC message per POST."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(request):
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": int(not text)}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, b"{}", "application/json")

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(
            200, json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}).encode(), "application/json"
        )

    def reply(self, status, data, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
