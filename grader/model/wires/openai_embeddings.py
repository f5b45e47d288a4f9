"""OpenAI Embeddings: reads `POST /v1/embeddings` and answers with real vectors."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from grader.model.embeddings import CUTS, Embedder, shorten
from grader.model.journal import Request, tokens_of
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import (
    Answer,
    ComputedWire,
    Draft,
    JsonObject,
    Rejection,
    encoded,
    is_whole,
    json_type,
    text_of,
)

# Limits of the vendor's own embedding models. Its third one, 300,000 tokens in all, is not in the labs' briefs.
MAX_INPUTS = 2048
MAX_TOKENS_EACH = 8192
FIELDS = frozenset({"input", "model", "dimensions", "encoding_format", "user"})


class OpenAIEmbeddings(ComputedWire):
    name = "openai-embeddings"
    vendor = OpenAIVendor()
    reply_type = "openai.types:CreateEmbeddingResponse"
    slow = True

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def read(self, body: Mapping[str, Any]) -> Draft:
        dimensions = body.get("dimensions")
        given = body.get("input")
        inputs = given if isinstance(given, list) else [given]
        return Draft(
            model=text_of(body.get("model")),
            inputs=tuple(text for text in inputs if isinstance(text, str)),
            dimensions=dimensions if is_whole(dimensions) else None,
        )

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002
        embedder = self._embedder
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise Rejection("you must provide a model parameter")
        if body["model"] not in embedder.models:
            raise Rejection(
                f"The model `{body['model']}` does not exist or you do not have access to it. "
                f"Embedding models here: {', '.join(embedder.models)}.",
                status=404,
                code="model_not_found",
            )
        for name in body:
            if name not in FIELDS:
                raise Rejection(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        _check_input(body.get("input"))
        _check_dimensions(body.get("dimensions"), body["model"], embedder)
        if body.get("encoding_format", "float") not in ("float", "base64"):
            message = f"Invalid value: '{body['encoding_format']}'. Supported values are: 'float' and 'base64'."
            raise Rejection(message, param="encoding_format", code="invalid_value")

    def compute(self, request: Request) -> Answer:
        vectors = self._embedder.embed(request.model, request.inputs)
        if request.dimensions is not None and request.dimensions < vectors.shape[1]:
            vectors = shorten(vectors, request.dimensions)
        packed = request.body.get("encoding_format") == "base64"
        coded = (
            [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors] if packed else vectors.tolist()
        )
        data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(coded)]
        usage = {"prompt_tokens": request.tokens, "total_tokens": request.tokens}
        body = {"object": "list", "data": data, "model": request.model, "usage": usage}
        return Answer(body=body, plain=encoded(body), input_tokens=request.tokens)


def _check_input(given: object) -> None:
    if given is None:
        raise Rejection("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    inputs = given if isinstance(given, list) else [given]
    if not inputs:
        raise Rejection("Invalid 'input': input cannot be an empty array.", param="input", code="empty_array")
    if len(inputs) > MAX_INPUTS:
        message = (
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_INPUTS}, but got an array "
            f"with length {len(inputs)} instead."
        )
        raise Rejection(message, param="input", code="array_above_max_length")
    for text in inputs:
        if isinstance(text, (int, list)) and not isinstance(text, bool):
            message = (
                "'$.input' is invalid: arrays of tokens are not accepted here. Send a string or an array of strings."
            )
            raise Rejection(message, param="input")
        if not isinstance(text, str):
            raise Rejection(f"'$.input' is invalid: expected strings, but got {json_type(text)}.", param="input")
        if not text:
            raise Rejection("'$.input' is invalid: input cannot be an empty string.", param="input")
        if tokens_of(len(text)) > MAX_TOKENS_EACH:
            raise Rejection(
                f"This model's maximum context length is {MAX_TOKENS_EACH} tokens, however you requested "
                f"{tokens_of(len(text))} tokens. Please reduce your prompt; or completion length.",
                param="input",
            )


def _check_dimensions(dimensions: object, model: str, embedder: Embedder) -> None:
    if dimensions is None:
        return
    full = embedder.models[model]
    allowed = sorted({cut for cut in CUTS if cut < full} | {full})
    if not is_whole(dimensions) or dimensions not in allowed:
        message = f"Invalid value for 'dimensions': {model} can be shortened to {', '.join(map(str, allowed))}."
        raise Rejection(message, param="dimensions", code="invalid_value")
