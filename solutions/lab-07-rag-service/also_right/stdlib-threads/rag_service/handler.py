"""HTTP by hand: one handler class on the standard library's threading server."""

from __future__ import annotations

import json
import re
import traceback
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from rag_service import library, provider


class Refused(Exception):
    """A request that is answered with an error; `status` and the word that is told."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_PUT = do_POST = do_DELETE = do_GET

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            status, value = self._route(body)
        except Refused as refused:
            status, value = refused.status, {"error": refused.word}
        except provider.UpstreamFailed as failed:
            self.log_error("upstream: %s", failed)
            status, value = 502, {"error": "upstream"}
        except library.OtherSpace:
            status, value = 409, {"error": "embedding_space"}
        except Exception:
            traceback.print_exc()
            status, value = 500, {"error": "internal"}
        payload = b"" if status == 204 else json.dumps(value).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _route(self, body: bytes) -> tuple[int, Any]:
        path = unquote(self.path.split("?")[0])
        match self.command, path.split("/")[1:]:
            case "GET", ["health"]:
                return 200, _health()
            case "POST", ["compare-cost"]:
                return 200, _compare(_object(body))
            case "POST", ["ask"]:
                return 200, _ask(self._tenant(), _object(body))
            case "POST", ["reembed"]:
                self._tenant()
                model, dimensions, count = library.migrate()
                return 200, {"model": model, "dimensions": dimensions, "chunks": count}
            case "PUT" | "DELETE", ["documents", name]:
                tenant = self._tenant()
                if not re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name):
                    raise Refused(400, "document_id")
                if self.command == "PUT":
                    return _put(tenant, name, _object(body))
                if library.delete(tenant, name):
                    return 204, None
        raise Refused(404, "not_found")

    def _tenant(self) -> str:
        tenant = self.headers.get("x-tenant") or ""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", tenant):
            raise Refused(400, "tenant")
        return tenant

    def log_request(self, *_: Any) -> None:
        """The gateway logs requests."""


def _health() -> dict[str, Any]:
    stored = library.space()
    model, dimensions = stored[1:] if stored else (library.MODEL, None)
    return {"status": "ok", "embedding": {"model": model, "dimensions": dimensions}}


def _put(tenant: str, name: str, body: dict[str, Any]) -> tuple[int, Any]:
    title, text = _text(body, "title", 1, 200), _text(body, "text", 1, 200_000)
    collection = _text(body, "collection", 0, 80) if "collection" in body else ""
    status, count = library.put(tenant, name, title, text, collection)
    return 201 if status == "created" else 200, {"document_id": name, "status": status, "chunks": count}


def _ask(tenant: str, body: dict[str, Any]) -> dict[str, Any]:
    question = _text(body, "question", 1, 2_000)
    k = _whole(body, "k", 1, 20, 8)
    max_tokens = _whole(body, "max_prompt_tokens", 600, 8_000, 3_000)
    collection = _text(body, "collection", 0, 80) if body.get("collection") is not None else None
    message, sent = provider.prompt(question, library.search(tenant, question, k, collection), max_tokens)
    answer, citations = provider.answer(message, sent) if sent else (None, [])
    sources = [{"document_id": one["document_id"], "passage_id": one["id"], "text": one["text"]} for one in sent]
    return {"answer": answer, "abstained": answer is None, "citations": citations, "sources": sources}


def _compare(body: dict[str, Any]) -> dict[str, Any]:
    corpus, window, questions = (
        _number(body, name) for name in ("corpus_tokens", "context_window", "questions_per_day")
    )
    dollar_a_token = _number(body, "usd_per_million_input") / 1_000_000
    rag = questions * _number(body, "rag_prompt_tokens") * dollar_a_token
    write, read, life = (_number(body, f"cache_{name}") for name in ("write_factor", "read_factor", "ttl_seconds"))
    prompts = write + (questions - 1) * read if questions * life >= 86_400 else questions
    whole = prompts * corpus * dollar_a_token if corpus <= window else None
    return {
        "rag_usd_per_day": float(rag),
        "whole_corpus_usd_per_day": None if whole is None else float(whole),
        "cheaper": "whole_corpus" if whole is not None and whole < rag else "rag",
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "json") from None
    if not isinstance(value, dict):
        raise Refused(400, "object")
    return value


def _text(body: dict[str, Any], name: str, least: int, most: int) -> str:
    value = body.get(name)
    storable = isinstance(value, str) and not re.search("[\0\ud800-\udfff]", value)
    if not storable or not least <= len(value) <= most:  # type: ignore[arg-type]  # it is a str here
        raise Refused(422, name)
    return value  # type: ignore[return-value]


def _whole(body: dict[str, Any], name: str, least: int, most: int, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(422, name)
    return value


def _number(body: dict[str, Any], name: str) -> Decimal:
    value = body.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Refused(422, name)
    return Decimal(str(value))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 drops connections when twenty callers start at once


def serve(port: int) -> None:
    library.open_library()
    Server(("127.0.0.1", port), Handler).serve_forever()
