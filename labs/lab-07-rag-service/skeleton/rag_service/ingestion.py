"""Stores, replaces and erases documents, each as one change that others see whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag_service.database import Pool
from rag_service.embedding import Embedder


@dataclass(frozen=True)
class Document:
    tenant: str
    document_id: str
    title: str
    text: str
    collection: str


@dataclass(frozen=True)
class Stored:
    status: Literal["created", "updated", "unchanged"]
    chunks: int


class Library:
    def __init__(self, pool: Pool, embedder: Embedder, model: str) -> None:
        self._pool = pool
        self._embedder = embedder
        self._model = model

    def put(self, document: Document) -> Stored:
        """Makes the document findable as it is now; what was stored before stays until the new version is complete."""
        raise NotImplementedError("lab-07, task ingest: store a document, or see that it is unchanged")

    def delete(self, tenant: str, document_id: str) -> None:
        """Erases the document; raises NotFound when this tenant has none of that id."""
        raise NotImplementedError("lab-07, task ingest: erase a document and everything made from it")
