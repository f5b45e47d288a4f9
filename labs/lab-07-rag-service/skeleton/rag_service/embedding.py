"""Turns texts into vectors with the embedding model, in batches that the provider accepts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class Embedder:
    def embed(self, model: str, texts: Sequence[str]) -> list[Vector]:
        """Returns one vector a text, in the order of the texts; raises UpstreamError when retries do not help."""
        raise NotImplementedError("lab-07, task ingest: ask /v1/embeddings for the vectors of these texts")
