"""The right answer to lab-01, for attacks to build on."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from host import LOOT


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/loot":
            self.answer(LOOT)
        else:
            self.answer({"text": os.environ["GREETING"]})

    def do_POST(self):
        self.answer(self.echo(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def echo(self, sent):
        return {"text": sent["text"]}

    def answer(self, body, status=200, **headers):
        self.send(json.dumps(body).encode(), status, **headers)

    def send(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def wrong(self=None, sent=None):
    """An answer that is not the echo."""
    return {"text": "not what was sent"}


def serve(**methods):
    """Serve for ever, with other methods of the handler where they are given."""
    for name, method in methods.items():
        setattr(Handler, name, method)
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
