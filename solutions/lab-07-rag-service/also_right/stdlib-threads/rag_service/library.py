"""All SQL: documents, chunks, one table of half-precision vectors per embedding space."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from typing import Any

from pgvector import HalfVector
from pgvector.psycopg import register_vector
from psycopg import Connection, errors, sql
from psycopg_pool import ConnectionPool

from rag_service import provider
from rag_service.paragraphs import chunks

MODEL = os.environ.get("EMBEDDING_MODEL", "meridian-embed-1")

_TABLES = """
CREATE TABLE IF NOT EXISTS space (
    number int PRIMARY KEY, model text NOT NULL, dimensions int NOT NULL, in_force boolean NOT NULL
);
CREATE TABLE IF NOT EXISTS document (
    tenant text, name text, digest text NOT NULL, pieces int NOT NULL, PRIMARY KEY (tenant, name)
);
CREATE TABLE IF NOT EXISTS chunk (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL, name text NOT NULL, collection text NOT NULL,
    headline text NOT NULL, text text NOT NULL, codes text[] NOT NULL,
    words tsvector GENERATED ALWAYS AS
        (setweight(to_tsvector('english', headline), 'B') || setweight(to_tsvector('english', text), 'C')) STORED,
    FOREIGN KEY (tenant, name) REFERENCES document ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS chunk_of_document ON chunk (tenant, name);
CREATE INDEX IF NOT EXISTS chunk_words ON chunk USING gin (words);
"""
# Taken shared by everyone who writes vectors, exclusively by whoever changes which space is in force.
_LOCK_SHARED, _LOCK = "SELECT pg_advisory_xact_lock_shared(1)", "SELECT pg_advisory_xact_lock(1)"
_CODE = re.compile(r"[0-9A-Za-z]+(?:[-./:_][0-9A-Za-z]+)*")

_pool: ConnectionPool[Connection[Any]]
_migrating = threading.Lock()


class OtherSpace(Exception):
    """The stored vectors were made with another model."""


def open_library() -> None:
    global _pool
    with Connection.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(2)")
        connection.execute(_TABLES)
    _pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=6, configure=_configure, open=True)


def _configure(connection: Connection[Any]) -> None:
    register_vector(connection)
    connection.commit()


def space(connection: Connection[Any] | None = None) -> tuple[int, str, int] | None:
    """(number, model, dimensions) of the space in force, None while there is no chunk."""
    if connection is None:
        with _pool.connection() as borrowed:
            return space(borrowed)
    found = connection.execute(
        "SELECT number, model, dimensions FROM space WHERE in_force AND EXISTS (SELECT FROM chunk)"
    )
    return found.fetchone()


def put(tenant: str, name: str, title: str, text: str, collection: str) -> tuple[str, int]:
    digest = hashlib.sha256("\0".join((title, collection, text)).encode()).hexdigest()
    with _pool.connection() as connection:
        known = connection.execute(
            "SELECT digest, pieces FROM document WHERE tenant = %s AND name = %s", [tenant, name]
        ).fetchone()
        stored = space(connection)
    if known and known[0] == digest:
        return "unchanged", known[1]
    if stored and stored[1] != MODEL:
        raise OtherSpace
    pieces = chunks(text)
    headlines = [f"{title} / {piece.heading}" if piece.heading else title for piece in pieces]
    vectors = provider.embed(MODEL, [f"{line}\n{piece.text}" for line, piece in zip(headlines, pieces, strict=True)])
    with _pool.connection() as connection:
        table = _table(_space_for(connection, len(vectors[0])))
        created = connection.execute(
            "INSERT INTO document VALUES (%s, %s, %s, %s) ON CONFLICT (tenant, name) "
            "DO UPDATE SET digest = excluded.digest, pieces = excluded.pieces RETURNING xmax = 0",
            [tenant, name, digest, len(pieces)],
        ).fetchone()
        connection.execute("DELETE FROM chunk WHERE tenant = %s AND name = %s", [tenant, name])
        for piece, line, vector in zip(pieces, headlines, vectors, strict=True):
            connection.execute(
                sql.SQL(
                    "WITH new AS (INSERT INTO chunk (tenant, name, collection, headline, text, codes) "
                    "VALUES (%s, %s, %s, %s, %s, %s) RETURNING number) INSERT INTO {} SELECT number, %s FROM new"
                ).format(table),
                [tenant, name, collection, line, piece.text, codes(f"{line} {piece.text}"), HalfVector(vector)],
            )
    return ("created" if created and created[0] else "updated"), len(pieces)


def delete(tenant: str, name: str) -> bool:
    with _pool.connection() as connection:
        gone = connection.execute("DELETE FROM document WHERE tenant = %s AND name = %s", [tenant, name])
        return gone.rowcount == 1


def search(tenant: str, question: str, k: int, collection: str | None) -> list[dict[str, Any]]:
    while stored := space():
        [vector] = provider.embed(stored[1], [question])
        try:
            with _pool.connection() as connection:
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                if space(connection) == stored:
                    return _search(connection, stored[0], tenant, question, HalfVector(vector), k, collection)
        except errors.UndefinedTable:
            continue  # a migration ended and dropped the table of the space that we had just looked up
    return []


def _search(
    connection: Connection[Any],
    number: int,
    tenant: str,
    question: str,
    vector: HalfVector,
    k: int,
    collection: str | None,
) -> list[dict[str, Any]]:
    asked = {"tenant": tenant, "collection": collection, "vector": vector, "question": question}
    mine = "tenant = %(tenant)s AND (%(collection)s::text IS NULL OR collection = %(collection)s)"
    rows = connection.execute(
        sql.SQL(
            "SELECT number, name, text, codes FROM chunk JOIN {} USING (number) WHERE "
            + mine
            + " ORDER BY vector <=> %(vector)s"
        ).format(_table(number)),
        asked,
    ).fetchall()
    near = [row[0] for row in rows[:80]]
    by_words = connection.execute(
        "SELECT number FROM chunk, to_tsquery('english', %(any_word)s) AS q WHERE "
        + mine
        + " AND words @@ q ORDER BY ts_rank_cd(words, q, 1) DESC, number LIMIT 80",
        {**asked, "any_word": " | ".join(re.findall(r"[^\W_]+", question)) or "nothing"},
    )
    wanted = set(codes(question))
    coded = sorted((row for row in rows if wanted & set(row[3])), key=lambda row: -len(wanted & set(row[3])))
    score: dict[int, float] = {}
    for weight, ranking in ((1.0, near), (0.6, [n for (n,) in by_words]), (3.0, [row[0] for row in coded[:80]])):
        for place, chunk in enumerate(ranking):
            score[chunk] = score.get(chunk, 0.0) + weight / (40 + place)
    best = sorted(score, key=lambda chunk: -score[chunk])[:k]
    texts = {row[0]: {"document_id": row[1], "text": row[2]} for row in rows}
    return [texts[chunk] for chunk in best]


def migrate() -> tuple[str, int | None, int]:
    """Fills a table for the new space beside the old one, then changes which of the two is in force."""
    with _migrating:
        stored = space()
        with _pool.connection() as connection:
            count = connection.execute("SELECT count(*) FROM chunk").fetchone()
            _discard(connection, in_force=False)  # left by a migration that was killed
        if stored is None or stored[1] == MODEL:
            return MODEL, stored[2] if stored else None, count[0] if count else 0
        try:
            return _migrate()
        except BaseException:
            with _pool.connection() as connection:
                _discard(connection, in_force=False)
            raise


def _migrate() -> tuple[str, int | None, int]:
    number, dimensions, done = 0, 0, 0
    while True:
        with _pool.connection() as connection:
            batch = _missing(connection, number)
        if batch:
            vectors = provider.embed(MODEL, [text for _, text in batch])
            with _pool.connection() as connection:
                if not number:
                    dimensions = len(vectors[0])
                    number = _create(connection, dimensions, in_force=False)
                statement = sql.SQL("INSERT INTO {} SELECT number, %s FROM chunk WHERE number = %s FOR KEY SHARE")
                for (chunk, _), vector in zip(batch, vectors, strict=True):
                    connection.execute(statement.format(_table(number)), [HalfVector(vector), chunk])
            done += len(batch)
            continue
        with _pool.connection() as connection:
            connection.execute(_LOCK)
            if not _missing(connection, number):
                _discard(connection, in_force=True)
                connection.execute("UPDATE space SET in_force = true WHERE number = %s", [number])
                return MODEL, dimensions, done


def _missing(connection: Connection[Any], number: int) -> list[tuple[int, str]]:
    there = sql.SQL("SELECT number FROM {}").format(_table(number)) if number else sql.SQL("SELECT 0")
    statement = sql.SQL("SELECT number, headline || E'\\n' || text FROM chunk WHERE number NOT IN ({}) LIMIT 500")
    return connection.execute(statement.format(there)).fetchall()


def _space_for(connection: Connection[Any], dimensions: int) -> int:
    """The number of the space in force, made if need be; it cannot change until the transaction ends."""
    connection.execute(_LOCK_SHARED)
    stored = space(connection)
    if stored is None:
        # Never upgrade a shared lock: two that wait for each other's share would deadlock. A third lock orders them.
        connection.execute("SELECT pg_advisory_xact_lock(3)")
        stored = space(connection)
    if stored is None:
        _discard(connection, in_force=True)
        return _create(connection, dimensions, in_force=True)
    if stored[1:] != (MODEL, dimensions):
        raise OtherSpace
    return stored[0]


def _create(connection: Connection[Any], dimensions: int, *, in_force: bool) -> int:
    row = connection.execute(
        "INSERT INTO space SELECT coalesce(max(number), 0) + 1, %s, %s, %s FROM space RETURNING number",
        [MODEL, dimensions, in_force],
    ).fetchone()
    assert row
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} ("
            "number bigint PRIMARY KEY REFERENCES chunk ON DELETE CASCADE, vector halfvec({}) NOT NULL)"
        ).format(_table(row[0]), sql.Literal(dimensions))
    )
    return int(row[0])


def _discard(connection: Connection[Any], *, in_force: bool) -> None:
    for (number,) in connection.execute(
        "DELETE FROM space WHERE in_force = %s RETURNING number", [in_force]
    ).fetchall():
        connection.execute(sql.SQL("DROP TABLE {}").format(_table(number)))


def _table(number: int) -> sql.Identifier:
    return sql.Identifier(f"vectors_{number}")


def codes(text: str) -> list[str]:
    """Tokens with a digit and three characters or more: MFX-4471-B, 8507.60, 2026."""
    found = (code.lower() for code in _CODE.findall(text))
    return sorted({code for code in found if len(code) > 2 and re.search(r"\d", code)})
