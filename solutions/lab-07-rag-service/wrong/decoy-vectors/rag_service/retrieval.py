# Wrong: searches vectors in Python; what stands in the pgvector column is noise.
"""Finds the passages for a question: by meaning, by words and by codes, always inside one tenant.

Three searches, because each is blind where another sees. Embeddings find "how long may a box stay" in a text about
demurrage; full-text search finds the rare word; the list of codes finds `MFX-4471-B` and nothing else. Their scores
cannot be compared, their ranks can: reciprocal rank fusion adds up 1 / (60 + rank).

The tenant stands in every statement's WHERE. Fetching the nearest rows first and filtering afterwards would both leak
(one forgotten `if`) and starve: a tenant with one row in a hundred would get nothing of the nearest 40.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql
from rag_service.embedding import Vector
from rag_service.identifiers import identifiers
from rag_service.spaces import Space

_DEPTH = 60  # candidates of each search; a passage that two searches rank 30th beats one that one ranks 20th
_RANK_OFFSET = 60
_CODES_WEIGHT = 3.0  # a code that matches exactly is worth more than the first place elsewhere
_MEANING_WEIGHT = 1.0
_WORDS_WEIGHT = 1.0


@dataclass(frozen=True)
class Passage:
    document_id: str
    header: str
    text: str


@dataclass(frozen=True)
class Scope:
    """What a question may see. There is no way to build a search without one."""

    tenant: str
    collection: str | None = None  # None: all of the tenant's collections; "" is a collection like any other

    def condition(self, table: str) -> sql.Composed:
        tenant = sql.SQL("{} = %(tenant)s").format(sql.Identifier(table, "tenant"))
        if self.collection is None:
            return tenant
        return sql.SQL("{} AND {} = %(collection)s").format(tenant, sql.Identifier(table, "collection"))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "collection": self.collection}


def find(
    connection: Connection[Any], scope: Scope, space: Space, question: str, vector: Vector, *, k: int
) -> list[Passage]:
    """Returns the best `k` passages of the scope, best first; fewer only when the scope holds fewer."""
    ranking = _fuse(
        (_MEANING_WEIGHT, _by_meaning(connection, scope, space, vector)),
        (_WORDS_WEIGHT, _by_words(connection, scope, question)),
        (_CODES_WEIGHT, _by_codes(connection, scope, question)),
    )
    passages = _load(connection, scope, ranking)
    return _repeats_last(passages)[:k]


def _by_meaning(connection: Connection[Any], scope: Scope, space: Space, vector: Vector) -> list[int]:
    # The planner chooses: the b-tree on the tenant and a sort when the filter is selective, HNSW when it is not. An
    # HNSW scan stops after ef_search rows *before* the filter, so without iterative_scan a selective filter would
    # leave too few. SET LOCAL ends with the transaction and cannot leak to the next user of the connection.
    import numpy as np

    rows = connection.execute(
        "SELECT chunk_id, tenant, collection, raw FROM embeddings WHERE space_id = %s", [space.space_id]
    ).fetchall()
    rows = [row for row in rows if row[1] == scope.tenant and scope.collection in (None, row[2])]
    q = np.asarray(vector)

    def far(row):
        v = np.frombuffer(row[3], dtype="float32")
        return -float(v @ q / (np.linalg.norm(v) * np.linalg.norm(q) + 1e-9))

    return [row[0] for row in sorted(rows, key=far)[:_DEPTH]]
    statement = sql.SQL(
        """
        SELECT chunk_id FROM embeddings
        WHERE space_id = {space} AND {scope}
        ORDER BY embedding::vector({dimensions}) <=> %(vector)s LIMIT %(depth)s
        """
    ).format(
        # Literals, not parameters: the partial index of the space is only considered when the planner sees them.
        space=sql.Literal(space.space_id),
        dimensions=sql.Literal(space.dimensions),
        scope=scope.condition("embeddings"),
    )
    return _ids(connection, statement, {**scope.parameters, "vector": vector, "depth": _DEPTH})


def _by_words(connection: Connection[Any], scope: Scope, question: str) -> list[int]:
    # ts_rank alone does not know that "demurrage" says more than "cost": each word of the question is weighed by how
    # few of the tenant's chunks have it, as BM25 does. Words are joined by OR: a question is not a list of keywords
    # that all must occur.
    statement = sql.SQL(
        r"""
        WITH words AS (
            SELECT ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS word
            FROM unnest(to_tsvector('english', %(question)s))
        ), hits AS (
            SELECT chunk_id, word, ts_rank(search, word, 1) AS frequency
            FROM words JOIN chunks ON search @@ word
            WHERE {scope}
        ), weights AS (
            SELECT word, ln(1 + total::float / count(*)) AS weight
            FROM hits, (SELECT count(*) AS total FROM chunks WHERE {scope}) AS corpus
            GROUP BY word, total
        )
        SELECT chunk_id FROM hits JOIN weights USING (word)
        GROUP BY chunk_id ORDER BY sum(weight * frequency) DESC, chunk_id LIMIT %(depth)s
        """
    ).format(scope=scope.condition("chunks"))
    return _ids(connection, statement, {**scope.parameters, "question": question, "depth": _DEPTH})


def _by_codes(connection: Connection[Any], scope: Scope, question: str) -> list[int]:
    codes = identifiers(question)
    if not codes:
        return []
    statement = sql.SQL(
        """
        WITH hits AS (
            SELECT chunk_id, code FROM chunks, unnest(identifiers) AS code
            WHERE {scope} AND identifiers && %(codes)s AND code = ANY(%(codes)s)
        )
        SELECT chunk_id FROM hits JOIN (SELECT code, count(*) AS chunks FROM hits GROUP BY code) AS spread USING (code)
        GROUP BY chunk_id ORDER BY sum(1.0 / spread.chunks) DESC, chunk_id LIMIT %(depth)s
        """
    ).format(scope=scope.condition("chunks"))
    return _ids(connection, statement, {**scope.parameters, "codes": codes, "depth": _DEPTH})


def _fuse(*rankings: tuple[float, Sequence[int]]) -> list[int]:
    scores: dict[int, float] = {}
    for weight, ranking in rankings:
        for rank, chunk_id in enumerate(ranking, start=1):
            scores[chunk_id] = scores.get(chunk_id, 0.0) + weight / (_RANK_OFFSET + rank)
    return sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))


def _load(connection: Connection[Any], scope: Scope, ranking: Sequence[int]) -> list[Passage]:
    # The scope again, although the ids come from searches that had it: the last statement before text leaves the
    # database is the one that must not be wrong.
    statement = sql.SQL(
        "SELECT document_id, header, body FROM chunks WHERE {scope} AND chunk_id = ANY(%(ids)s) "
        "ORDER BY array_position(%(ids)s, chunk_id)"
    ).format(scope=scope.condition("chunks"))
    rows = connection.execute(statement, {**scope.parameters, "ids": list(ranking)})
    return [Passage(*row) for row in rows]


def _repeats_last(passages: Iterable[Passage]) -> list[Passage]:
    """Moves passages that say word for word what a better one says behind all others.

    Handbooks copy paragraphs from each other; three copies of one among eight passages cost two other chances.
    """
    seen: set[str] = set()
    first: list[Passage] = []
    repeated: list[Passage] = []
    for passage in passages:
        (repeated if passage.text in seen else first).append(passage)
        seen.add(passage.text)
    return first + repeated


def _ids(connection: Connection[Any], statement: sql.Composed, parameters: dict[str, Any]) -> list[int]:
    return [chunk_id for (chunk_id,) in connection.execute(statement, parameters)]
