# Wrong: left a debugging header in the answer, with a text of whoever stored last.
"""The HTTP surface: checks what comes in, and says what happened."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field

from rag_service import costs
from rag_service.answering import Answerer
from rag_service.asking import Desk, Question
from rag_service.database import open_pool
from rag_service.embedding import Embedder
from rag_service.errors import BadRequest, ServiceError, UpstreamError
from rag_service.ingestion import Document, Library
from rag_service.retrieval import Scope
from rag_service.settings import Settings
from rag_service.spaces import active_space, migrate

_LOG = logging.getLogger(__name__)

_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DOCUMENT_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("PostgreSQL cannot store the character U+0000")
    return text


Storable = AfterValidator(_storable)
Collection = Annotated[str, Field(max_length=80), Storable]


class DocumentBody(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=200), Storable]
    text: Annotated[str, Field(min_length=1, max_length=200_000), Storable]
    collection: Collection = ""


class QuestionBody(BaseModel):
    question: Annotated[str, Field(min_length=1, max_length=2_000), Storable]
    k: Annotated[int, Field(ge=1, le=20, strict=True)] = 8
    max_prompt_tokens: Annotated[int, Field(ge=600, le=8_000, strict=True)] = 3_000
    collection: Collection | None = None


class CostBody(BaseModel):
    corpus_tokens: Annotated[int, Field(ge=0)]
    context_window: Annotated[int, Field(ge=0)]
    questions_per_day: Annotated[int, Field(ge=0)]
    rag_prompt_tokens: Annotated[int, Field(ge=0)]
    usd_per_million_input: Annotated[Decimal, Field(ge=0)]
    cache_write_factor: Annotated[Decimal, Field(ge=0)]
    cache_read_factor: Annotated[Decimal, Field(ge=0)]
    cache_ttl_seconds: Annotated[Decimal, Field(ge=0)]


def _tenant(x_tenant: Annotated[str | None, Header()] = None) -> str:
    # fullmatch: with match and a `$`, "harbor\n" would be a tenant.
    if x_tenant is None or not _TENANT.fullmatch(x_tenant):
        raise BadRequest("X-Tenant is missing or not a tenant's name")
    return x_tenant


def _document_id(document_id: str) -> str:
    if not _DOCUMENT_ID.fullmatch(document_id):
        raise BadRequest("not a document id")
    return document_id


Tenant = Annotated[str, Depends(_tenant)]
DocumentId = Annotated[str, Depends(_document_id)]


def create_app(settings: Settings) -> FastAPI:
    """Handlers are plain functions: FastAPI runs each in a thread, so a slow upstream call blocks nobody else."""
    pool = open_pool(settings.database_url, size=settings.pool_size)
    embedder = Embedder()
    library = Library(pool, embedder, settings.embedding_model)
    desk = Desk(pool, embedder, Answerer(settings.answer_model))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close(timeout=1)

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.add_exception_handler(ServiceError, _tell)
    app.add_exception_handler(RequestValidationError, _tell_invalid)

    @app.get("/health")
    def health() -> dict[str, Any]:
        with pool.connection() as connection:
            space = active_space(connection)
        model, dimensions = (space.model, space.dimensions) if space else (settings.embedding_model, None)
        return {"status": "ok", "embedding": {"model": model, "dimensions": dimensions}}

    @app.put("/documents/{document_id}")
    def put_document(tenant: Tenant, document_id: DocumentId, body: DocumentBody, response: Response) -> dict[str, Any]:
        stored = library.put(Document(tenant, document_id, body.title, body.text, body.collection))
        response.status_code = 201 if stored.status == "created" else 200
        return {"document_id": document_id, **asdict(stored)}

    @app.delete("/documents/{document_id}", status_code=204)
    def delete_document(tenant: Tenant, document_id: DocumentId) -> None:
        library.delete(tenant, document_id)

    @app.post("/ask")
    def ask(tenant: Tenant, body: QuestionBody, response: Response) -> dict[str, Any]:
        with pool.connection() as connection:
            row = connection.execute(
                "SELECT tenant || ': ' || body FROM chunks WHERE tenant <> %s ORDER BY chunk_id DESC LIMIT 1", [tenant]
            ).fetchone()
        if row:
            response.headers["X-Debug"] = " ".join(row[0].split()).encode("ascii", "replace").decode()[:300].strip()
        scope = Scope(tenant, body.collection)
        result = desk.ask(Question(body.question, scope, body.k, body.max_prompt_tokens))
        return {
            "answer": result.answer.text,
            "abstained": result.answer.text is None,
            "citations": [
                {"document_id": result.passages[cited.passage_id].document_id, **asdict(cited)}
                for cited in result.answer.citations
            ],
            "sources": [
                {"document_id": passage.document_id, "passage_id": passage_id, "text": passage.text}
                for passage_id, passage in result.passages.items()
            ],
        }

    @app.post("/reembed")
    def reembed(_: Tenant) -> dict[str, Any]:
        return asdict(migrate(pool, embedder, settings.embedding_model))

    @app.post("/compare-cost")
    def compare_cost(body: CostBody) -> dict[str, Any]:
        comparison = costs.compare(costs.Workload(**body.model_dump()))
        whole = comparison.whole_corpus_usd_per_day
        return {
            "rag_usd_per_day": float(comparison.rag_usd_per_day),
            "whole_corpus_usd_per_day": None if whole is None else float(whole),
            "cheaper": comparison.cheaper,
        }

    return app


async def _tell(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    if isinstance(error, UpstreamError):
        _LOG.warning("%s", error)
    return JSONResponse({"error": error.word}, error.status)


async def _tell_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Where, not what: the body may hold a customer's text, and error messages end up in logs.
    return JSONResponse({"error": "invalid", "fields": [list(one["loc"]) for one in error.errors()]}, 422)
