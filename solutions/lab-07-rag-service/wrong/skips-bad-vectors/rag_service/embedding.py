# Wrong: leaves out chunks whose vector does not have the expected length, and stores the rest. One bad vector should
# not cost a whole document, one would think; the document is now stored with a hole that nobody sees.
"""Turns texts into vectors with the embedding model, in batches that the provider accepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from openai import OpenAI, OpenAIError

from rag_service.errors import UpstreamError

Vector = NDArray[np.float32]

_BATCH = 256  # the provider takes 2,048, but a failed batch is sent again as a whole


class Embedder:
    """Knows no model of its own: the caller says in which space it wants the vectors.

    That is deliberate. During a migration the service embeds questions with the stored model and chunks with the new
    one; an embedder with a default would sooner or later be asked without thinking.
    """

    def __init__(self) -> None:
        # Retries with back-off, and `retry-after`, are the SDK's. Its timeout of ten minutes is not what we want.
        self._client = OpenAI(max_retries=3, timeout=30)

    def embed(self, model: str, texts: Sequence[str]) -> list[Vector]:
        """Returns one vector a text, in the order of the texts."""
        vectors: list[Vector] = []
        for start in range(0, len(texts), _BATCH):
            vectors += self._embed_batch(model, list(texts[start : start + _BATCH]))
        return vectors

    def embed_one(self, model: str, text: str) -> Vector:
        return self.embed(model, [text])[0]

    def _embed_batch(self, model: str, texts: list[str]) -> list[Vector]:
        try:
            reply = self._client.embeddings.create(model=model, input=texts)
            ordered = sorted(reply.data, key=lambda item: item.index)
            vectors = [np.asarray(item.embedding, dtype=np.float32) for item in ordered]
        except (OpenAIError, ValueError, TypeError, AttributeError) as error:
            # The last three: a 200 whose body is not what the protocol promises.
            raise UpstreamError(f"embedding with {model} failed: {error}") from error
        if len(vectors) != len(texts):
            raise UpstreamError(f"asked for {len(texts)} vectors of one length, got {len(vectors)}")
        return vectors
