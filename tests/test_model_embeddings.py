"""Embeddings come from a real small model, offline, in three spaces."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from grader.errors import EnvironmentFault
from grader.model import embeddings
from grader.model.embeddings import WordLlamaEmbedder, shorten
from grader.model.script import Reply
from grader.model.server import ModelDouble

if TYPE_CHECKING:
    from grader.model.embeddings import Vectors

MODELS = {"meridian-embed-1": 256, "meridian-embed-2": 256, "meridian-embed-2-mini": 128}
FEE = "Storage at Arden costs 41 euros a day after the fifth day."
PARAPHRASE = "What is the daily price for keeping goods at Arden?"
UNRELATED = "The cat slept on the warm window sill."
TEXTS = [FEE, PARAPHRASE, UNRELATED, "Customs released shipment MFX-4471-B.", "x", " ", "\ud800", "Zoll 税関 ✈"]


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
def double(embedder: WordLlamaEmbedder) -> Iterator[ModelDouble]:
    with ModelDouble(embedder=embedder, validate_replies=True) as running:
        yield running
        assert running.protocol_faults == ()


@pytest.fixture(scope="module")
def gpt(double: ModelDouble) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=double.openai_base_url, api_key="k", max_retries=0) as client:
        yield client


@pytest.mark.parametrize(("model", "dimensions"), MODELS.items())
def test_a_paraphrase_is_closer_than_something_else(embedder: WordLlamaEmbedder, model: str, dimensions: int) -> None:
    fee, paraphrase, unrelated = embedder.embed(model, [FEE, PARAPHRASE, UNRELATED])
    assert fee.shape == (dimensions,)
    assert fee @ paraphrase > fee @ unrelated + 0.2


def test_every_row_is_one_long(embedder: WordLlamaEmbedder) -> None:
    for model in MODELS:
        vectors = embedder.embed(model, TEXTS)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dimensions", [256, 128])
def test_two_spaces_say_nothing_about_each_other(embedder: WordLlamaEmbedder, dimensions: int) -> None:
    first = shorten(embedder.embed("meridian-embed-1", TEXTS), dimensions)
    second = shorten(embedder.embed("meridian-embed-2", TEXTS), dimensions)
    mini = embedder.embed("meridian-embed-2-mini", TEXTS)
    assert np.abs((first * second).sum(axis=1)).max() < 0.3
    if dimensions == 128:
        assert np.abs((first * mini).sum(axis=1)).max() < 0.3
        assert np.abs((second * mini).sum(axis=1)).max() < 0.3


@pytest.mark.parametrize("dimensions", [256, 128, 64])
def test_two_spaces_have_the_same_distances(embedder: WordLlamaEmbedder, dimensions: int) -> None:
    first = shorten(embedder.embed("meridian-embed-1", TEXTS), dimensions)
    second = shorten(embedder.embed("meridian-embed-2", TEXTS), dimensions)
    assert np.allclose(first @ first.T, second @ second.T, atol=1e-5)


def test_a_text_has_one_vector_whatever_it_is_sent_with() -> None:
    alone = WordLlamaEmbedder().embed("meridian-embed-1", [FEE])
    among = WordLlamaEmbedder().embed("meridian-embed-1", [UNRELATED * 50, FEE])
    assert (alone[0] == among[1]).all()


def test_a_full_cache_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "CACHE_LIMIT", 2)
    embedder = WordLlamaEmbedder()
    for _ in range(2):
        embedder.embed("meridian-embed-1", ["a", "b", "c", "a"])
    assert len(embedder._cache) <= 2


def test_missing_weights_are_an_environment_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "WEIGHTS", "weights/none.safetensors")
    with pytest.raises(EnvironmentFault, match="wordllama") as caught:
        WordLlamaEmbedder().load()
    assert caught.value.slug == "no-embedding-weights"


def test_loading_is_silent_and_agrees_with_the_library() -> None:
    """In a process of its own: importing the library changes the root logger and can download."""
    program = """
import pathlib, sys, numpy
from grader.model.embeddings import WordLlamaEmbedder
texts = ["Storage at Arden costs 41 euros a day.", "Customs", "x " * 300]
ours = WordLlamaEmbedder().embed("meridian-embed-1", texts)
assert not {"requests", "wordllama", "huggingface_hub"} & set(sys.modules)
import wordllama
theirs = wordllama.WordLlama.load(cache_dir=pathlib.Path(wordllama.__file__).parent, disable_download=True)
assert numpy.allclose(theirs.embed(texts, norm=True), ours, atol=1e-5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_sdk_gets_the_same_vectors_packed_and_plain(gpt: openai.OpenAI, embedder: WordLlamaEmbedder) -> None:
    texts = [FEE, UNRELATED]
    expected = embedder.embed("meridian-embed-2", texts)
    packed = gpt.embeddings.create(model="meridian-embed-2", input=texts)
    # Strict validation for floats only: the SDK's own type says list of floats, also for the base64 that it asks for
    # by default and unpacks after validation, so that no server at all would pass.
    strict = gpt.with_options(_extra_kwargs={"_strict_response_validation": True})
    plain = strict.embeddings.create(model="meridian-embed-2", input=texts, encoding_format="float")
    for response in (packed, plain):
        assert [row.index for row in response.data] == [0, 1]
        assert np.allclose([row.embedding for row in response.data], expected, atol=1e-7)
    assert plain.usage.prompt_tokens == sum(-(-len(text) // 4) for text in texts)


def test_base64_is_sent_as_little_endian_floats(double: ModelDouble, gpt: openai.OpenAI) -> None:
    raw: Any = gpt.embeddings.with_raw_response.create(
        model="meridian-embed-1", input="x", encoding_format="base64"
    ).http_response.json()
    row = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), dtype="<f4")
    assert row.shape == (256,)
    assert double.journal.since()[-1].request.body["encoding_format"] == "base64"


@pytest.mark.parametrize(("model", "dimensions"), [("meridian-embed-1", 64), ("meridian-embed-2-mini", 64)])
def test_vectors_can_be_shortened(gpt: openai.OpenAI, model: str, dimensions: int) -> None:
    full = gpt.embeddings.create(model=model, input=FEE, encoding_format="float").data[0].embedding
    short = gpt.embeddings.create(model=model, input=FEE, dimensions=dimensions, encoding_format="float")
    row = np.array(short.data[0].embedding)
    assert row.shape == (dimensions,)
    assert np.allclose(row, shorten(np.array([full], dtype=np.float32), dimensions)[0], atol=1e-6)


def test_a_request_of_the_largest_size_is_answered(double: ModelDouble, gpt: openai.OpenAI) -> None:
    texts = [f"shipment {number}" for number in range(2048)]
    assert len(gpt.embeddings.create(model="meridian-embed-1", input=texts).data) == 2048
    seen = double.journal.since()[-1].request
    assert seen.inputs == tuple(texts)
    assert seen.tokens == sum(-(-len(text) // 4) for text in texts)


class Constant:
    """An embedder of two dimensions that never loads."""

    models: Mapping[str, int] = {"tiny": 2}

    def load(self) -> None:
        raise RuntimeError("no weights")

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        return np.array([[len(model), len(text)] for text in texts], dtype=np.float32)


class Blocked(Constant):
    """An embedder that computes until it is let go."""

    def __init__(self) -> None:
        self.computing, self.go = threading.Event(), threading.Event()

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        self.computing.set()
        assert self.go.wait(20)
        return super().embed(model, texts)


def test_a_long_computation_keeps_no_chat_waiting() -> None:
    embedder = Blocked()
    with (
        ModelDouble(embedder=embedder) as double,
        openai.OpenAI(base_url=double.openai_base_url, api_key="k", timeout=20, max_retries=0) as client,
        ThreadPoolExecutor() as pool,
    ):
        double.script(Reply("meanwhile"))
        vectors = pool.submit(client.embeddings.create, model="tiny", input="abc")
        assert embedder.computing.wait(20)
        said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
        assert said.choices[0].message.content == "meanwhile"
        embedder.go.set()
        assert vectors.result(20).data[0].embedding == [4, 3]


def test_another_embedder_can_be_given() -> None:
    with (
        ModelDouble(embedder=Constant()) as double,
        openai.OpenAI(base_url=double.openai_base_url, api_key="k") as client,
    ):
        assert client.embeddings.create(model="tiny", input="abc").data[0].embedding == [4, 3]
