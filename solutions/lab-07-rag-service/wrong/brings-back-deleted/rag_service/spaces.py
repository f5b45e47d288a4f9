# Wrong: writes all that it read at its beginning at the end of /reembed: what was deleted meanwhile returns.
"""Embedding spaces: which one is searched, and how the service moves to another without a pause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from rag_service.database import Pool
from rag_service.embedding import Embedder, Vector
from rag_service.errors import SpaceMismatch, UpstreamError

_MIGRATION_LOCK = 7_002
_SPACE_LOCK = 7_003  # shared by every write of vectors, exclusive for changing the active space
_FIRST_SPACE_LOCK = 7_004  # among writers that share the one above: upgrading a shared lock would deadlock
_BATCH = 512


@dataclass(frozen=True)
class Space:
    space_id: int
    model: str
    dimensions: int


@dataclass(frozen=True)
class Migration:
    model: str
    dimensions: int | None
    chunks: int


def active_space(connection: Connection[Any]) -> Space | None:
    """The space that the stored vectors live in; None when there are no vectors."""
    row = connection.execute(
        "SELECT space_id, model, dimensions FROM spaces WHERE active AND EXISTS (SELECT FROM chunks)"
    ).fetchone()
    return None if row is None else Space(*row)


def space_to_write(connection: Connection[Any], model: str, dimensions: int) -> Space:
    """The active space, made if there is none; it stays active until the caller's transaction ends.

    The check must happen inside the transaction that writes. Between an earlier check and the write the embedding
    model was called, which is time enough for a migration.
    """
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_SPACE_LOCK])
    space = active_space(connection)
    if space is None:
        space = _first_space(connection, model, dimensions)
    if (space.model, space.dimensions) != (model, dimensions):
        raise SpaceMismatch(f"the vectors live in {space.model}, not in {model}")
    return space


def _first_space(connection: Connection[Any], model: str, dimensions: int) -> Space:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [_FIRST_SPACE_LOCK])
    space = active_space(connection)  # somebody else may have made it while we waited
    if space is not None:
        return space
    row = connection.execute("SELECT space_id, model, dimensions FROM spaces WHERE active").fetchone()
    if row is not None and row[1:] == (model, dimensions):
        return Space(*row)
    _drop_spaces(connection, active=True)
    space = _create(connection, model, dimensions, active=True)
    _create_index(connection, space)
    return space


def migrate(pool: Pool, embedder: Embedder, model: str) -> Migration:
    """Embeds every chunk with `model` into a second space, then makes that one the active one.

    Questions go on reading the old space. The switch is one small transaction, so a question sees all of the old
    vectors or all of the new ones. Anything that fails before it leaves the old space as it was.
    """
    with _only_migration(pool):
        with pool.connection() as connection:
            current = active_space(connection)
            (chunks,) = connection.execute("SELECT count(*) FROM chunks").fetchone() or (0,)
            _drop_spaces(connection, active=False)  # what a killed migration left behind
        if current is None or current.model == model:
            return Migration(model, current.dimensions if current else None, chunks)
        with pool.connection() as connection:
            documents = connection.execute("SELECT * FROM documents").fetchall()
            chunks_ = connection.execute(
                "SELECT tenant, document_id, chunk_id, collection, header, body, identifiers FROM chunks"
            ).fetchall()
        try:
            done = _fill_and_switch(pool, embedder, model)
            with pool.connection() as connection:
                for row in documents:
                    if connection.execute(
                        "INSERT INTO documents VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", row
                    ).rowcount:
                        for t, d, _, c, h, b, ids in chunks_:
                            if (t, d) == row[:2]:
                                connection.execute(
                                    "INSERT INTO chunks (tenant, document_id, collection, header, body, identifiers)"
                                    " VALUES (%s, %s, %s, %s, %s, %s)",
                                    [t, d, c, h, b, ids],
                                )
            return done
        except BaseException:
            with pool.connection() as connection:
                _drop_spaces(connection, active=False)
            raise


def _fill_and_switch(pool: Pool, embedder: Embedder, model: str) -> Migration:
    space: Space | None = None
    while True:
        with pool.connection() as connection:
            batch = _chunks_without_vector(connection, space)
        if batch:
            vectors = embedder.embed(model, [text for _, text in batch])  # no connection is held meanwhile
            with pool.connection() as connection:
                if space is None:
                    space = _create(connection, model, len(vectors[0]), active=False)
                _store(connection, space, [chunk_id for chunk_id, _ in batch], vectors)
            continue
        if space is None:  # every document was deleted while we looked
            return Migration(model, None, 0)
        with pool.connection() as connection:
            _create_index(connection, space)  # after the load: building once is cheaper than inserting row by row
        with pool.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SPACE_LOCK])
            if _chunks_without_vector(connection, space):
                continue  # an instance with the old setting wrote something at the last moment
            _drop_spaces(connection, active=True)
            connection.execute("UPDATE spaces SET active = true WHERE space_id = %s", [space.space_id])
            (count,) = connection.execute("SELECT count(*) FROM chunks").fetchone() or (0,)
            return Migration(space.model, space.dimensions, count)


def _chunks_without_vector(connection: Connection[Any], space: Space | None) -> list[tuple[int, str]]:
    return connection.execute(
        r"""
        SELECT chunk_id, header || E'\n' || body FROM chunks
        WHERE NOT EXISTS (SELECT FROM embeddings WHERE space_id = %s AND embeddings.chunk_id = chunks.chunk_id)
        ORDER BY chunk_id LIMIT %s
        """,
        [space.space_id if space else None, _BATCH],
    ).fetchall()


def _store(connection: Connection[Any], space: Space, chunk_ids: list[int], vectors: list[Vector]) -> None:
    if any(len(vector) != space.dimensions for vector in vectors):
        raise UpstreamError(f"{space.model} changed its dimensions between two batches")
    with connection.cursor() as cursor:
        # SELECT from chunks, FOR KEY SHARE: a chunk that was deleted in the meantime gets no vector.
        cursor.executemany(
            """
            INSERT INTO embeddings (space_id, chunk_id, tenant, collection, embedding)
            SELECT %s, chunk_id, tenant, collection, %s FROM chunks WHERE chunk_id = %s FOR KEY SHARE
            """,
            [(space.space_id, vector, chunk_id) for chunk_id, vector in zip(chunk_ids, vectors, strict=True)],
        )


def _create(connection: Connection[Any], model: str, dimensions: int, *, active: bool) -> Space:
    row = connection.execute(
        "INSERT INTO spaces (model, dimensions, active) VALUES (%s, %s, %s) RETURNING space_id",
        [model, dimensions, active],
    ).fetchone()
    assert row is not None
    return Space(row[0], model, dimensions)


def _create_index(connection: Connection[Any], space: Space) -> None:
    connection.execute(
        sql.SQL(
            "CREATE INDEX IF NOT EXISTS {name} ON embeddings "
            "USING hnsw ((embedding::vector({dimensions})) vector_cosine_ops) WHERE space_id = {space}"
        ).format(
            name=sql.Identifier(_index_name(space.space_id)),
            dimensions=sql.Literal(space.dimensions),
            space=sql.Literal(space.space_id),
        )
    )


def _drop_spaces(connection: Connection[Any], *, active: bool) -> None:
    dropped = connection.execute("DELETE FROM spaces WHERE active = %s RETURNING space_id", [active])
    for (space_id,) in dropped.fetchall():
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(_index_name(space_id))))


def _index_name(space_id: int) -> str:
    return f"embeddings_hnsw_{space_id}"


@contextmanager
def _only_migration(pool: Pool) -> Iterator[None]:
    """One migration at a time, over all instances; a lock of the session goes away with a killed process."""
    with pool.connection() as connection:
        connection.autocommit = True  # otherwise this would be one transaction as long as the migration
        connection.execute("SELECT pg_advisory_lock(%s)", [_MIGRATION_LOCK])
        try:
            yield
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_MIGRATION_LOCK])
            connection.autocommit = False
