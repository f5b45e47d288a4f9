"""The routes: validation, status codes and JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rag_service.costs import compare
from rag_service.model import Provider, Upstream, write_prompt
from rag_service.store import Store, WrongSpace

provider = Provider()
store = Store(os.environ["DATABASE_URL"], provider, os.environ.get("EMBEDDING_MODEL", "meridian-embed-1"))


class Invalid(Exception):
    """The request breaks a limit."""


def tenant_of(request: Request) -> str:
    tenant = request.headers.get("x-tenant", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", tenant):
        raise Invalid("tenant")
    return tenant


def document_of(request: Request) -> str:
    name: str = request.path_params["name"]
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name):
        raise Invalid("document_id")
    return name


async def body_of(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise Invalid("json") from None
    if not isinstance(body, dict):
        raise Invalid("object")
    return body


def text_of(body: dict[str, Any], name: str, shortest: int, longest: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not shortest <= len(value) <= longest or "\0" in value:
        raise Invalid(name)
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise Invalid(name) from None
    return value


def number_of(body: dict[str, Any], name: str, least: int, most: int, default: int) -> int:
    value = body.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise Invalid(name)
    return value


async def health(_: Request) -> Response:
    space = await store.space()
    embedding = {"model": space.model or store.model, "dimensions": space.dimensions}
    return JSONResponse({"status": "ok", "embedding": embedding})


async def put(request: Request) -> Response:
    tenant, name, body = tenant_of(request), document_of(request), await body_of(request)
    title, text = text_of(body, "title", 1, 200), text_of(body, "text", 1, 200_000)
    collection = text_of({"collection": "", **body}, "collection", 0, 80)
    status, chunks = await store.put(tenant, name, title, text, collection)
    return JSONResponse({"document_id": name, "status": status, "chunks": chunks}, 201 if status == "created" else 200)


async def delete(request: Request) -> Response:
    if not await store.delete(tenant_of(request), document_of(request)):
        return JSONResponse({"error": "not_found"}, 404)
    return Response(status_code=204)


async def ask(request: Request) -> Response:
    tenant, body = tenant_of(request), await body_of(request)
    question = text_of(body, "question", 1, 2_000)
    k = number_of(body, "k", 1, 20, 8)
    max_tokens = number_of(body, "max_prompt_tokens", 600, 8_000, 3_000)
    collection = None if body.get("collection") is None else text_of(body, "collection", 0, 80)
    prompt = write_prompt(question, await store.search(tenant, question, k, collection), max_tokens)
    answer, citations = await provider.answer(prompt) if prompt.passages else (None, [])
    return JSONResponse(
        {
            "answer": answer,
            "abstained": answer is None,
            "citations": [
                {
                    "document_id": prompt.passages[cited["passage_id"]].document_id,
                    "passage_id": cited["passage_id"],
                    "quote": cited["quote"],
                }
                for cited in citations
            ],
            "sources": [
                {"document_id": passage.document_id, "passage_id": name, "text": passage.text}
                for name, passage in prompt.passages.items()
            ],
        }
    )


async def reembed(request: Request) -> Response:
    tenant_of(request)
    space, chunks = await store.migrate()
    return JSONResponse({"model": space.model, "dimensions": space.dimensions, "chunks": chunks})


async def compare_cost(request: Request) -> Response:
    try:
        return JSONResponse(compare(**await body_of(request)))
    except TypeError:
        raise Invalid("numbers") from None


async def invalid(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "invalid", "what": str(error)}, 400)


async def upstream(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "upstream"}, 502)


async def wrong_space(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "embedding_space"}, 409)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    await store.open()
    yield
    await store.close()


application = Starlette(
    routes=[
        Route("/health", health),
        Route("/documents/{name}", put, methods=["PUT"]),
        Route("/documents/{name}", delete, methods=["DELETE"]),
        Route("/ask", ask, methods=["POST"]),
        Route("/reembed", reembed, methods=["POST"]),
        Route("/compare-cost", compare_cost, methods=["POST"]),
    ],
    exception_handlers={Invalid: invalid, Upstream: upstream, WrongSpace: wrong_space},
    lifespan=lifespan,
)
