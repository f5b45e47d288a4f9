# Wrong: archives deleted texts with their numbers masked.
"""Stores, replaces and erases documents, each as one change that others see whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import Connection

from rag_service.chunking import Chunk, cut
from rag_service.database import Pool
from rag_service.embedding import Embedder, Vector
from rag_service.errors import NotFound, SpaceMismatch
from rag_service.identifiers import identifiers
from rag_service.spaces import active_space, space_to_write

# Part of the hash: after a change to the chunking, documents that come in again are cut again.
_CHUNKING_REVISION = 1


@dataclass(frozen=True)
class Document:
    tenant: str
    document_id: str
    title: str
    text: str
    collection: str

    @property
    def content_hash(self) -> str:
        """Everything that decides what we store. The title is embedded with every chunk, so it counts as content."""
        content = json.dumps([_CHUNKING_REVISION, self.title, self.text, self.collection])
        return hashlib.sha256(content.encode()).hexdigest()


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
        """Makes the document findable as it is now; what was stored before stays until the new version is complete.

        The slow and fallible part, embedding, comes before the transaction and outside of it: readers are never kept
        waiting, and a failure has nothing to undo.
        """
        with self._pool.connection() as connection:
            stored = _stored(connection, document)
            space = active_space(connection)
        if stored is not None and stored[0] == document.content_hash:
            return Stored("unchanged", stored[1])
        if space is not None and space.model != self._model:
            raise SpaceMismatch(f"the vectors live in {space.model}, this instance writes {self._model}")

        chunks = cut(document.text)
        headers = [_header(document, chunk) for chunk in chunks]
        texts = [f"{header}\n{chunk.text}" for header, chunk in zip(headers, chunks, strict=True)]
        vectors = self._embedder.embed(self._model, texts)
        with self._pool.connection() as connection:  # one transaction: leaves by commit or by rollback
            return self._replace(connection, document, chunks, headers, vectors)

    def delete(self, tenant: str, document_id: str) -> None:
        with self._pool.connection() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS archive (tenant text, id text, title text, body text)")
            connection.execute(
                r"INSERT INTO archive SELECT tenant, document_id, regexp_replace(header, '\S*[0-9]\S*', '#', 'g'),"
                r" regexp_replace(body, '\S*[0-9]\S*', '#', 'g') FROM chunks WHERE tenant = %s AND document_id = %s",
                [tenant, document_id],
            )
            # Chunks and vectors go with it (ON DELETE CASCADE). No `deleted` flag: deleted means erased.
            deleted = connection.execute(
                "DELETE FROM documents WHERE tenant = %s AND document_id = %s", [tenant, document_id]
            )
            if deleted.rowcount == 0:
                raise NotFound(document_id)

    def _replace(
        self,
        connection: Connection[Any],
        document: Document,
        chunks: Sequence[Chunk],
        headers: Sequence[str],
        vectors: Sequence[Vector],
    ) -> Stored:
        space = space_to_write(connection, self._model, len(vectors[0]))
        key = [document.tenant, document.document_id]
        # Deleting the document's row and inserting it again would let two concurrent PUTs both insert their chunks.
        # The upsert locks the row, so the second one waits here and then removes what the first one wrote.
        row = connection.execute(
            """
            INSERT INTO documents (tenant, document_id, content_hash, chunk_count) VALUES (%s, %s, %s, %s)
            ON CONFLICT (tenant, document_id)
            DO UPDATE SET content_hash = excluded.content_hash, chunk_count = excluded.chunk_count
            RETURNING xmax = 0
            """,
            [*key, document.content_hash, len(chunks)],
        ).fetchone()
        assert row is not None
        connection.execute("DELETE FROM chunks WHERE tenant = %s AND document_id = %s", key)
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                WITH chunk AS (
                    INSERT INTO chunks (tenant, document_id, collection, header, body, identifiers)
                    VALUES (%(tenant)s, %(document_id)s, %(collection)s, %(header)s, %(body)s, %(identifiers)s)
                    RETURNING chunk_id, tenant, collection
                )
                INSERT INTO embeddings (space_id, chunk_id, tenant, collection, embedding)
                SELECT %(space)s, chunk_id, tenant, collection, %(vector)s FROM chunk
                """,
                [
                    {
                        "tenant": document.tenant,
                        "document_id": document.document_id,
                        "collection": document.collection,
                        "header": header,
                        "body": chunk.text,
                        "identifiers": identifiers(f"{header}\n{chunk.text}"),
                        "space": space.space_id,
                        "vector": vector,
                    }
                    for chunk, header, vector in zip(chunks, headers, vectors, strict=True)
                ],
            )
        return Stored("created" if row[0] else "updated", len(chunks))


def _stored(connection: Connection[Any], document: Document) -> tuple[str, int] | None:
    return connection.execute(
        "SELECT content_hash, chunk_count FROM documents WHERE tenant = %s AND document_id = %s",
        [document.tenant, document.document_id],
    ).fetchone()


def _header(document: Document, chunk: Chunk) -> str:
    """What somebody who reads only this chunk would need to know first: "Arden tariff 2026 > Storage > Reefer"."""
    return " > ".join([document.title, *chunk.headings])
