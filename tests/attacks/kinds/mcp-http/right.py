"""The right answer to lab-05, for attacks to build on."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from host import LOOT


def answer(request):
    if request["method"] != "tools/call":
        return {"error": {"code": -32601, "message": "no such method"}}
    text = request["params"]["arguments"]["text"]
    return {"result": {"words": len(text.split()), "empty": not text}}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send(json.dumps(LOOT).encode())

    def do_POST(self):
        self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def reply(self, request):
        self.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer(request)}).encode())

    def send(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(data)), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def serve(**methods):
    """Serve for ever, with other methods of the handler where they are given."""
    for name, method in methods.items():
        setattr(Handler, name, method)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
