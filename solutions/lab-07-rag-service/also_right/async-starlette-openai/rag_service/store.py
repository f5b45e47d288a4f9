"""Documents, passages and the embedding space in PostgreSQL, seen by one tenant at a time."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pgvector import Vector
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from rag_service.model import Passage, Provider
from rag_service.windows import slide

EVERY_TENANT = "*"

_CODE = re.compile(r"\w+(?:[-./:_]\w+)*")

# Reciprocal rank fusion in one statement: the two searches and their sum see the same snapshot.
_SEARCH = r"""
WITH visible AS MATERIALIZED (
    SELECT passage_id, p.document_id, heading, body, words, embedding
    FROM passages p JOIN documents d USING (tenant, document_id, version)
    WHERE %(collection)s::text IS NULL OR d.collection = %(collection)s
), asked AS (
    SELECT (SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')
            FROM unnest(to_tsvector('english', %(question)s)))::tsquery
           AS words,
           (SELECT string_agg(quote_literal(code), ' | ') FROM unnest(%(codes)s::text[]) AS code)::tsquery AS codes
), ranked AS (
    SELECT passage_id, 1.0 AS weight, row_number() OVER (ORDER BY embedding <=> %(vector)s) AS place FROM visible
    UNION ALL
    SELECT passage_id, 0.7, row_number() OVER (ORDER BY ts_rank_cd(visible.words, asked.words, 1) DESC)
    FROM visible, asked WHERE visible.words @@ asked.words
    UNION ALL
    SELECT passage_id, 3.0, row_number() OVER (ORDER BY ts_rank(visible.words, asked.codes) DESC)
    FROM visible, asked WHERE visible.words @@ asked.codes
)
SELECT document_id, heading, body
FROM ranked JOIN visible USING (passage_id)
GROUP BY passage_id, document_id, heading, body
ORDER BY sum(weight / (50 + place)) DESC, passage_id LIMIT %(k)s
"""


class WrongSpace(Exception):
    """Writing would mix two embedding spaces."""


class Space(NamedTuple):
    model: str | None
    dimensions: int | None


class Store:
    def __init__(self, url: str, provider: Provider, model: str) -> None:
        self.model = model
        self._provider = provider
        self._migrating = asyncio.Lock()
        self._pool = AsyncConnectionPool(url, min_size=1, max_size=10, open=False, configure=_configure)

    async def open(self) -> None:
        await self._pool.open()
        async with self._pool.connection() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(7)")
            await connection.execute(Path(__file__).with_name("schema.sql").read_text("utf-8"))

    async def close(self) -> None:
        await self._pool.close(timeout=1)

    @asynccontextmanager
    async def _as(self, tenant: str) -> AsyncIterator[AsyncConnection[Any]]:
        """A transaction that sees one tenant's rows, in one snapshot for reading."""
        async with self._pool.connection() as connection:
            await _become(connection, tenant)
            yield connection

    async def space(self) -> Space:
        async with self._as(EVERY_TENANT) as connection:
            return await _space(connection)

    async def put(self, tenant: str, document_id: str, title: str, text: str, collection: str) -> tuple[str, int]:
        fingerprint = hashlib.sha256(repr((title, text, collection)).encode()).digest()
        async with self._as(tenant) as connection:
            stored = await _one(
                connection, "SELECT fingerprint, passages FROM documents WHERE document_id = %s", [document_id]
            )
        if stored and stored[0] == fingerprint:
            return "unchanged", stored[1]
        if (await self.space()).model not in (None, self.model):
            raise WrongSpace
        windows = slide(text)
        headings = [f"{title}, {window.heading}" if window.heading else title for window in windows]
        texts = [f"{heading}: {window.text}" for heading, window in zip(headings, windows, strict=True)]
        vectors = await self._provider.embed(self.model, texts)
        async with self._as(tenant) as connection:
            await self._keep_space(connection, tenant, len(vectors[0]))
            row = await _one(connection, "SELECT nextval('versions')", [])
            version = row[0] if row else 0
            # Points the document at the new version. From here to the commit a second writer of it waits.
            replaced = await _one(
                connection,
                """
                INSERT INTO documents (tenant, document_id, collection, version, fingerprint, passages)
                VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (tenant, document_id) DO UPDATE SET
                collection = excluded.collection, version = excluded.version,
                fingerprint = excluded.fingerprint, passages = excluded.passages
                RETURNING xmax <> 0
                """,
                [tenant, document_id, collection, version, fingerprint, len(windows)],
            )
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    """
                    INSERT INTO passages (tenant, document_id, version, heading, body, words, embedding)
                    VALUES (%s, %s, %s, %s, %s, to_tsvector('english', %s) || array_to_tsvector(%s::text[]), %s)
                    """,
                    [
                        (tenant, document_id, version, heading, window.text, whole, _codes(whole), Vector(vector))
                        for heading, window, whole, vector in zip(headings, windows, texts, vectors, strict=True)
                    ],
                )
            await connection.execute(
                "DELETE FROM passages WHERE document_id = %s AND version <> %s", [document_id, version]
            )
        return ("updated" if replaced and replaced[0] else "created"), len(windows)

    async def _keep_space(self, connection: AsyncConnection[Any], tenant: str, dimensions: int) -> None:
        """Makes sure that the vectors in hand belong to the space in force, until the transaction ends."""
        mine = (self.model, dimensions)
        if await _one(connection, "SELECT model, dimensions FROM service", []) == mine:
            if await _one(connection, "SELECT model, dimensions FROM service FOR SHARE", []) == mine:
                return
            raise WrongSpace
        # The first vectors of all, or a mismatch. FOR UPDATE at once: two that upgrade a shared lock would deadlock.
        await connection.execute("SELECT FROM service FOR UPDATE")
        await _become(connection, EVERY_TENANT)
        space = await _space(connection)
        await _become(connection, tenant)
        if space.model is not None and space != mine:
            raise WrongSpace
        await connection.execute("UPDATE service SET model = %s, dimensions = %s", list(mine))

    async def delete(self, tenant: str, document_id: str) -> bool:
        async with self._as(tenant) as connection:
            deleted = await connection.execute("DELETE FROM documents WHERE document_id = %s", [document_id])
            await connection.execute("DELETE FROM passages WHERE document_id = %s", [document_id])
            return deleted.rowcount == 1

    async def search(self, tenant: str, question: str, k: int, collection: str | None) -> list[Passage]:
        space = await self.space()
        while space.model is not None:
            [vector] = await self._provider.embed(space.model, [question])
            async with self._as(tenant) as connection:
                # The lock keeps a migration from ending between this statement and the search.
                now = await _one(connection, "SELECT model, dimensions FROM service FOR SHARE", [])
                if now == space:
                    parameters = {
                        "question": question,
                        "codes": _codes(question) or None,
                        "vector": Vector(vector),
                        "collection": collection,
                        "k": k,
                    }
                    return [Passage(*row) for row in await (await connection.execute(_SEARCH, parameters)).fetchall()]
            space = await self.space()
        return []

    async def migrate(self) -> tuple[Space, int]:
        """Fills `next_embedding` beside the vectors in force, then swaps the two in one transaction."""
        async with self._migrating:
            return await self._migrate()

    async def _migrate(self) -> tuple[Space, int]:
        space = await self.space()
        if space.model in (None, self.model):
            return Space(self.model, space.dimensions), await self._count()
        await self._forget_next()  # what a killed migration left behind may be of a third model
        try:
            while batch := await self._without_next():
                vectors = await self._provider.embed(self.model, [text for _, text in batch])
                async with self._as(EVERY_TENANT) as connection, connection.cursor() as cursor:
                    await cursor.executemany(
                        "UPDATE passages SET next_embedding = %s WHERE passage_id = %s",
                        [(Vector(vector), key) for (key, _), vector in zip(batch, vectors, strict=True)],
                    )
            async with self._as(EVERY_TENANT) as connection:
                await connection.execute("SELECT FROM service FOR UPDATE")
                await connection.execute("UPDATE passages SET embedding = next_embedding, next_embedding = NULL")
                await connection.execute(
                    """
                    UPDATE service SET model = %s, dimensions = coalesce(
                        (SELECT vector_dims(embedding) FROM passages LIMIT 1), dimensions)
                    """,
                    [self.model],
                )
        except BaseException:
            await self._forget_next()
            raise
        return await self.space(), await self._count()

    async def _forget_next(self) -> None:
        async with self._as(EVERY_TENANT) as connection:
            await connection.execute("UPDATE passages SET next_embedding = NULL WHERE next_embedding IS NOT NULL")

    async def _without_next(self) -> list[tuple[int, str]]:
        async with self._as(EVERY_TENANT) as connection:
            rows = await connection.execute(
                "SELECT passage_id, heading || ': ' || body FROM passages WHERE next_embedding IS NULL LIMIT 500"
            )
            return await rows.fetchall()

    async def _count(self) -> int:
        async with self._as(EVERY_TENANT) as connection:
            row = await _one(connection, "SELECT count(*) FROM passages", [])
            return row[0] if row else 0


async def _space(connection: AsyncConnection[Any]) -> Space:
    row = await _one(connection, "SELECT model, dimensions FROM service WHERE EXISTS (SELECT FROM passages)", [])
    return Space(*row) if row else Space(None, None)


async def _configure(connection: AsyncConnection[Any]) -> None:
    await register_vector_async(connection)
    await connection.commit()


async def _become(connection: AsyncConnection[Any], tenant: str) -> None:
    # `true`: the setting ends with the transaction and is not the next borrower's.
    await connection.execute("SELECT set_config('rag.tenant', %s, true)", [tenant])


async def _one(connection: AsyncConnection[Any], statement: str, parameters: list[Any]) -> Any:
    return await (await connection.execute(statement, parameters)).fetchone()


def _codes(text: str) -> list[str]:
    """Part numbers and tariff codes, marked so that no stemmed word can look like one."""
    found = {code.casefold() for code in _CODE.findall(text) if len(code) > 2}
    return sorted("#" + code for code in found if re.search(r"\d", code))
