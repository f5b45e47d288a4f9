"""Conversations as documents: read whole, changed in memory, written whole after every step that must not be lost."""

from __future__ import annotations

import json
import os
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Document = dict[str, Any]
pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
    os.environ.get("DATABASE_URL", ""), min_size=1, max_size=18, open=False
)
TABLES = """
CREATE TABLE IF NOT EXISTS assistant_document (conversation text PRIMARY KEY, document text NOT NULL);
CREATE TABLE IF NOT EXISTS assistant_done (
    conversation text NOT NULL, call_id text NOT NULL, result text, PRIMARY KEY (conversation, call_id));
"""


async def prepare() -> None:
    await pool.open(wait=True)
    async with pool.connection() as connection:
        await connection.execute(TABLES)


async def find(conversation: str) -> Document | None:
    """The document, or None.

    `{"user", "runs": [{"id", "message", "answer", "turns": [{"said", "text", "ending", "tokens", "calls"}]}]}` where
    a call is `{"id", "name", "arguments", "result", "approval"}`; result and approval are None until there is one.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT document FROM assistant_document WHERE conversation = %s", [conversation]
        )
        row = await cursor.fetchone()
    return json.loads(row[0]) if row else None


async def save(conversation: str, document: Document) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO assistant_document VALUES (%s, %s)"
            " ON CONFLICT (conversation) DO UPDATE SET document = EXCLUDED.document",
            [conversation, json.dumps(document)],
        )


async def one(query: str, *values: Any) -> Any:
    async with pool.connection() as connection:
        return await (await connection.execute(query, values)).fetchone()
