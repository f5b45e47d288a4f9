# Wrong: commits row by row behind a lock in the process, instead of in a transaction.
"""One question from start to finish: embed, find, prompt, answer."""

from __future__ import annotations

from dataclasses import dataclass

from rag_service import prompt, retrieval
from rag_service.answering import ABSTAINED, Answer, Answerer
from rag_service.database import GATE, Pool
from rag_service.embedding import Embedder
from rag_service.retrieval import Passage, Scope
from rag_service.spaces import active_space


@dataclass(frozen=True)
class Question:
    text: str
    scope: Scope
    k: int
    max_prompt_tokens: int


@dataclass(frozen=True)
class Result:
    answer: Answer
    passages: dict[str, Passage]  # what was sent, by passage id, most relevant first


class Desk:
    def __init__(self, pool: Pool, embedder: Embedder, answerer: Answerer) -> None:
        self._pool = pool
        self._embedder = embedder
        self._answerer = answerer

    def ask(self, question: Question) -> Result:
        ready = prompt.build(question.text, self._find(question), max_tokens=question.max_prompt_tokens)
        if not ready.passages:
            return Result(ABSTAINED, {})  # nothing to send: a model without passages could only make something up
        return Result(self._answerer.answer(ready), ready.passages)

    def _find(self, question: Question) -> list[Passage]:
        """Searches in one snapshot, so that an update in between shows as the old version or the new one."""
        with self._pool.connection() as connection:
            space = active_space(connection)
        while space is not None:
            # The *stored* model, whatever this instance is configured to write with.
            vector = self._embedder.embed_one(space.model, question.text)
            with GATE, self._pool.connection() as connection:
                # For this transaction only: set on the connection, it would stay with it in the pool and make
                # concurrent writes of one document fail.
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                now = active_space(connection)
                if now == space:
                    return retrieval.find(connection, question.scope, space, question.text, vector, k=question.k)
            space = now  # a migration ended while the question was being embedded: embed it again
        return []
