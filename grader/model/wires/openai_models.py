"""OpenAI's models: `GET /v1/models`, and one model by its id."""

from __future__ import annotations

from collections.abc import Mapping

from grader.model.embeddings import Embedder
from grader.model.journal import Request
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Answer, ComputedWire, JsonObject, Rejection, json_answer

CHAT_MODELS = ("gpt-6.2-sol", "gpt-6-astra")
CREATED = 1_767_225_600  # 2026-01-01


class OpenAIModels(ComputedWire):
    name = "openai-models"
    vendor = OpenAIVendor()
    reply_type = "openai.pagination:SyncPage[openai.types:Model]"
    takes_body = False
    in_journal = False

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def validate(self, body: JsonObject, request: Request) -> None:
        pass

    def compute(self, request: Request) -> Answer:  # noqa: ARG002  always all of them
        return json_answer({"object": "list", "data": [_model(name) for name in _names(self._embedder.models)]})


class OpenAIModel(ComputedWire):
    name = "openai-models"
    vendor = OpenAIVendor()
    reply_type = "openai.types:Model"
    takes_body = False
    in_journal = False

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def validate(self, body: JsonObject, request: Request) -> None:
        pass

    def compute(self, request: Request) -> Answer:
        wanted = request.params["model_id"]
        if wanted not in _names(self._embedder.models):
            message = f"The model `{wanted}` does not exist or you do not have access to it."
            raise Rejection(message, status=404, code="model_not_found")
        return json_answer(_model(wanted))


def _names(embedding_models: Mapping[str, int]) -> tuple[str, ...]:
    return (*CHAT_MODELS, *embedding_models)


def _model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "meridian"}
