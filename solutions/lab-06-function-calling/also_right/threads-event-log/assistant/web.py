"""The routes, on http.server: one thread for each request."""

from __future__ import annotations

import json
import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from assistant import log, runs
from assistant.runs import Answered
from assistant.stopping import Stop
from assistant.tools import carry_out, word_of
from assistant.wires import Upstream

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOMENT = ("timeout", "failed", "not_run", "denied", "expired")


def serve() -> None:
    log.prepare()
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    streaming = False

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def _handle(self) -> None:
        self.streaming = False
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            status, body = self._route(raw)
        except Answered as answered:
            status, body = answered.status, {"error": answered.word}
        except Upstream:
            status, body = 502, {"error": "upstream"}
        if self.streaming:
            self._event("done" if status == 200 else "error", body)
        elif body is not None:
            self._send(status, body)

    def _route(self, raw: bytes) -> tuple[int, Any]:
        path = self.path.split("/")[1:]
        if path == ["health"]:
            return 200, {}
        user_id = self.headers.get("X-User")
        if not user_id:
            raise Answered(401, "no_user")
        if not log.rows("SELECT 1 FROM users WHERE user_id = %s", user_id.replace("\0", "")):
            raise Answered(403, "unknown_user")
        match self.command, path:
            case "POST", ["chat"]:
                return self._chat(user_id, _object(raw))
            case "POST", ["approvals", approval_id]:
                body = _object(raw)
                if body.get("decision") not in ("approve", "deny"):
                    raise Answered(400, "invalid")
                return 200, runs.decide(user_id, approval_id, body["decision"], body.get("arguments_hash"))
            case "POST", ["conversations", conversation, "cancel"]:
                _own(user_id, conversation)
                runs.cancel(conversation)
                return 202, {}
            case "GET", ["conversations", conversation, "transcript"]:
                _own(user_id, conversation)
                return 200, {"conversation": conversation, "turns": _turns(conversation)}
            case "POST", ["replay"]:
                return 200, _replay(user_id, _object(raw))
        raise Answered(404, "not_found")

    def _chat(self, user_id: str, body: dict[str, Any]) -> tuple[int, Any]:
        conversation, message_id, message = (body.get(name) for name in ("conversation", "message_id", "message"))
        fits = all(isinstance(name, str) and NAME.fullmatch(name) for name in (conversation, message_id))
        if not fits or not isinstance(message, str) or not 1 <= len(message) <= 4000:
            raise Answered(422, "invalid")
        try:
            message.encode()
        except UnicodeEncodeError:
            raise Answered(422, "invalid") from None
        if body.get("stream") is not True:
            return 200, runs.chat(user_id, str(conversation), str(message_id), message, None)
        answer = runs.chat(user_id, str(conversation), str(message_id), message, self._event)
        self._event("done", answer)
        self.streaming = False
        return 200, None

    def _event(self, name: str, data: dict[str, Any]) -> None:
        if not self.streaming:
            self.streaming = True
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        self.wfile.flush()

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Answered(400, "invalid")
    return body


def _own(user_id: str, conversation: str) -> None:
    if not log.owns(user_id, conversation):
        raise Answered(404, "not_found")


def _turns(conversation: str) -> list[Any]:
    """Every reply of the model as its calls: id, name, arguments, result."""
    return [
        [[*call, turn.results.get(n)] for n, call in enumerate(turn.calls)]
        for run in log.read(conversation)
        for turn in run.turns
    ]


def _replay(user_id: str, body: dict[str, Any]) -> dict[str, Any]:
    match body:
        case {"conversation": str(conversation), "turns": list(turns)}:
            _own(user_id, conversation)
        case _:
            raise Answered(422, "invalid")
    differences = []
    for call_id, name, text, before in (call for turn in turns for call in turn):
        if before is None or word_of(before) in MOMENT or name in ("book_pickup", "issue_credit"):
            continue
        if carry_out(user_id, conversation, call_id, name, text, Stop()) != before:
            differences.append({"id": call_id, "tool": name})
    return {"matches": not differences, "steps": len(turns), "differences": differences}
