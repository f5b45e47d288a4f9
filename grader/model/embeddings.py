"""Turns texts into vectors with a small real model whose weights ship inside an installed wheel."""

# ruff: noqa: PLC0415  numpy and the tokenizer are imported in the thread that loads the weights, after the server is up

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from grader.errors import EnvironmentFault

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

# Lengths at which the weights were trained to be cut (matryoshka): a cut is a worse vector, not noise.
CUTS = (64, 128, 256)
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
# 50,000 vectors of 256 floats are 50 MB.
CACHE_LIMIT = 50_000


class Embedder(Protocol):
    """What answers `POST /v1/embeddings`."""

    @property
    def models(self) -> Mapping[str, int]:
        """Dimensions by name of the model."""

    def load(self) -> None:
        """Makes the first `embed` quick; called in a thread when the double starts."""

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """One row of length 1 a text. Called from several threads."""


def shorten(vectors: Vectors, dimensions: int) -> Vectors:
    """Keeps the first dimensions and makes the rows one long again."""
    import numpy as np

    short = vectors[:, :dimensions]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return (short / np.where(lengths == 0, 1, lengths)).astype(np.float32)


class Disguising:
    """An embedder that takes some texts for others: what holds certain words gets the vector of another text."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self._disguises: list[tuple[str, str]] = []

    @property
    def models(self) -> Mapping[str, int]:
        return self._inner.models

    def load(self) -> None:
        self._inner.load()

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        return self._inner.embed(model, [self._as(text) for text in texts])

    @contextmanager
    def like(self, words: str, text: str) -> Iterator[None]:
        """While the block runs, a text that holds `words`, in any case, has the vector of `text`."""
        disguise = (words.casefold(), text)
        self._disguises.append(disguise)
        try:
            yield
        finally:
            self._disguises.remove(disguise)

    def _as(self, text: str) -> str:
        return next((other for words, other in self._disguises if words in text.casefold()), text)


class WordLlamaEmbedder:
    """Three models out of one set of weights: a plain one, one in another space, one short and in a third space.

    The other spaces are signed permutations of the first: distances within a space are the same, so quality is,
    but vectors of two spaces say nothing about each other. The permutations keep to the blocks between the cuts,
    so that shortening a vector works in every space.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache: dict[bytes, Any] = {}
        self._table: Any = None
        self._tokenizer: Any = None
        self._spaces: dict[str, tuple[Any, Any]] = {}

    @property
    def models(self) -> Mapping[str, int]:
        return MappingProxyType({"meridian-embed-1": 256, "meridian-embed-2": 256, "meridian-embed-2-mini": 128})

    def load(self) -> None:
        with self._lock:
            if self._table is None:
                self._load()

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        import numpy as np

        self.load()
        with self._lock:
            base = np.stack([self._base(text) for text in texts])
        short = shorten(base, self.models[model])
        if model not in self._spaces:
            return short
        order, signs = self._spaces[model]
        moved: Vectors = short[:, order] * signs
        return moved

    def _load(self) -> None:
        # Both would start threads that gain nothing on texts this short and take the cores from the learner's program.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        # The files are read here, not with `import wordllama`: that configures the root logger and imports requests.
        folder = _wheel_folder()
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._spaces = {"meridian-embed-2": _space(256, seed=54), "meridian-embed-2-mini": _space(128, seed=31)}
        self._table = load_file(folder / WEIGHTS)["embedding.weight"]

    def _base(self, text: str) -> Any:
        """The mean of the text's token vectors; the same text has the same vector, whatever it is sent with."""
        import numpy as np

        encoded = text.encode("utf-8", "replace")  # JSON may hold lone surrogates; the tokenizer takes none
        key = hashlib.sha256(encoded).digest()
        vector = self._cache.get(key)
        if vector is None:
            ids = self._tokenizer.encode(encoded.decode(), add_special_tokens=False).ids
            rows = self._table[np.minimum(ids, len(self._table) - 1)] if ids else self._table[:1]
            vector = rows.mean(axis=0, dtype=np.float32)
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[key] = vector
        return vector


def _space(dimensions: int, *, seed: int) -> tuple[Any, Any]:
    """An order and signs: a fixed signed permutation within each block between two cuts."""
    import numpy as np

    rng = np.random.default_rng(seed)
    starts = (0, *(cut for cut in CUTS if cut < dimensions))
    ends = (*starts[1:], dimensions)
    order = np.concatenate([rng.permutation(np.arange(start, end)) for start, end in zip(starts, ends, strict=True)])
    return order, rng.choice(np.array([-1, 1], dtype=np.float32), size=dimensions)


def _wheel_folder() -> Path:
    spec = find_spec("wordllama")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(location) / WEIGHTS).is_file() and (Path(location) / TOKENIZER).is_file():
            return Path(location)
    raise EnvironmentFault(
        "The embedding model's weights were not found in the package 'wordllama'.",
        mend="Install the grader again: pip install -e . (it brings wordllama, whose wheel holds the weights).",
        slug="no-embedding-weights",
    )
