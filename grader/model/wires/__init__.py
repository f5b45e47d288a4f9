"""The wires that the double speaks, by method and path; a new wire is a module and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from grader.model.batches import Batches
from grader.model.embeddings import Embedder
from grader.model.memory import Memory
from grader.model.wires.anthropic_batches import (
    BatchResults,
    CancelledBatches,
    CreatedBatches,
    DeletedBatches,
    ListedBatches,
    RetrievedBatches,
)
from grader.model.wires.anthropic_messages import AnthropicMessages
from grader.model.wires.anthropic_models import AnthropicModel, AnthropicModels
from grader.model.wires.anthropic_tokens import AnthropicTokens
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.openai_cache import PromptCache
from grader.model.wires.openai_chat import OpenAIChat
from grader.model.wires.openai_embeddings import OpenAIEmbeddings
from grader.model.wires.openai_models import OpenAIModel, OpenAIModels
from grader.model.wires.openai_response_store import ResponseStore
from grader.model.wires.openai_responses import OpenAIResponses
from grader.model.wires.openai_stored_responses import (
    CancelledResponses,
    DeletedResponses,
    ResponseInputItems,
    ResponseTokens,
    StoredResponses,
)
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Rejection, Vendor, Wire

_ANTHROPIC = AnthropicVendor()
_OPENAI = OpenAIVendor()


@dataclass(frozen=True)
class Found:
    """The wire that serves a path, and what the path says: `{id}` in a route is a part of any name."""

    wire: Wire
    params: Mapping[str, str] = field(default_factory=dict)


class Routes:
    """One double's wires, found by method and path; both vendors may have the same path."""

    def __init__(self, *routes: tuple[str, str, Wire]) -> None:
        self._routes = tuple((method, tuple(path.split("/")), wire) for method, path, wire in routes)
        self._plain: dict[tuple[str, str], list[Wire]] = {}
        for method, path, wire in routes:
            if "{" not in path:
                self._plain.setdefault((method, path), []).append(wire)

    def find(self, method: str, path: str, vendor: Vendor) -> Found | None:
        wires = [Found(wire) for wire in self._plain.get((method, path), ())] or [
            Found(wire, params)
            for served, pattern, wire in self._routes
            if served == method and (params := _match(pattern, path)) is not None
        ]
        ours = [found for found in wires if type(found.wire.vendor) is type(vendor)]
        return next(iter(ours or wires), None)

    def refusal(self, method: str, path: str) -> Rejection:
        """404 for a path that nothing serves, 405 for a path that another method serves."""
        served = sorted({m for m, pattern, _ in self._routes if _match(pattern, path) is not None})
        if served:
            return Rejection(f"Not allowed to {method} on {path}; use {' or '.join(served)}.", status=405)
        paths = ", ".join(dict.fromkeys(f"{m} {'/'.join(pattern)}" for m, pattern, _ in self._routes))
        return Rejection(f"Unknown request URL: {method} {path}. Served here: {paths}.", status=404)


def _match(pattern: tuple[str, ...], path: str) -> dict[str, str] | None:
    parts = path.split("/")
    if len(parts) != len(pattern):
        return None
    params: dict[str, str] = {}
    for wanted, given in zip(pattern, parts, strict=True):
        if wanted.startswith("{") and given:
            params[wanted[1:-1]] = given
        elif wanted != given:
            return None
    return params


def vendor_of(path: str, headers: Mapping[str, str]) -> Vendor:
    """Whose words an answer is in, for paths that both vendors or neither have."""
    return _ANTHROPIC if path.startswith("/v1/messages") or "anthropic-version" in headers else _OPENAI


def routes_of(memory: Memory, embedder: Embedder, batches: Batches) -> Routes:
    """The wires of one double."""
    cache, responses = PromptCache(memory), ResponseStore(memory)
    return Routes(
        ("POST", "/v1/messages", AnthropicMessages(memory)),
        ("POST", "/v1/messages/count_tokens", AnthropicTokens(memory)),
        ("POST", "/v1/messages/batches", CreatedBatches(memory, batches)),
        ("GET", "/v1/messages/batches", ListedBatches(memory, batches)),
        ("GET", "/v1/messages/batches/{message_batch_id}", RetrievedBatches(memory, batches)),
        ("DELETE", "/v1/messages/batches/{message_batch_id}", DeletedBatches(memory, batches)),
        ("POST", "/v1/messages/batches/{message_batch_id}/cancel", CancelledBatches(memory, batches)),
        ("GET", "/v1/messages/batches/{message_batch_id}/results", BatchResults(memory, batches)),
        ("GET", "/v1/models", AnthropicModels()),
        ("GET", "/v1/models/{model_id}", AnthropicModel()),
        ("POST", "/v1/chat/completions", OpenAIChat(cache)),
        ("POST", "/v1/responses", OpenAIResponses(responses, cache)),
        ("GET", "/v1/responses/{response_id}", StoredResponses(responses)),
        ("DELETE", "/v1/responses/{response_id}", DeletedResponses(responses)),
        ("POST", "/v1/responses/{response_id}/cancel", CancelledResponses(responses)),
        ("GET", "/v1/responses/{response_id}/input_items", ResponseInputItems(responses)),
        ("POST", "/v1/responses/input_tokens", ResponseTokens(responses)),
        ("POST", "/v1/embeddings", OpenAIEmbeddings(embedder)),
        ("GET", "/v1/models", OpenAIModels(embedder)),
        ("GET", "/v1/models/{model_id}", OpenAIModel(embedder)),
    )
