"""Anthropic's models: `GET /v1/models` in pages, and one model by its id."""

from __future__ import annotations

from grader.model.journal import Request
from grader.model.wires.anthropic_catalogue import MODELS, Claude
from grader.model.wires.anthropic_paging import page_of
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.wire import Answer, ComputedWire, JsonObject, Rejection, json_answer

LIFECYCLES = ("active", "deprecated", "retired")


class AnthropicModels(ComputedWire):
    name = "anthropic-models"
    vendor = AnthropicVendor()
    reply_type = "anthropic.pagination:SyncPage[anthropic.types:ModelInfo]"
    takes_body = False
    in_journal = False

    def validate(self, body: JsonObject, request: Request) -> None:  # noqa: ARG002  there is no body
        for stage in _stages(request):
            if stage not in LIFECYCLES:
                raise Rejection("lifecycle: Input should be 'active', 'deprecated' or 'retired'")

    def compute(self, request: Request) -> Answer:
        stages = _stages(request) or ["active", "deprecated"]
        return json_answer(page_of([_info(model) for model in MODELS if model.lifecycle in stages], request.query))


class AnthropicModel(ComputedWire):
    name = "anthropic-models"
    vendor = AnthropicVendor()
    reply_type = "anthropic.types:ModelInfo"
    takes_body = False
    in_journal = False

    def validate(self, body: JsonObject, request: Request) -> None:
        pass

    def compute(self, request: Request) -> Answer:
        wanted = request.params["model_id"]
        model = next((model for model in MODELS if model.id == wanted), None)
        if model is None:
            raise Rejection(f"model: {wanted}", status=404)
        return json_answer(_info(model))


def _stages(request: Request) -> list[str]:
    given = request.query.get("lifecycle[]") or request.query.get("lifecycle") or ""
    return [stage for stage in given.split(",") if stage]


def _info(model: Claude) -> JsonObject:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": model.lifecycle,
        "line": model.line,
        "max_input_tokens": model.context,
        "max_tokens": model.most_output,
        "deprecated_at": None if model.lifecycle == "active" else "2026-05-01T00:00:00Z",
        "retires_at": None,
        "capabilities": None,  # null is allowed, and true: this model can what its script says
    }
