"""The wires that the double speaks, by method and path; a new wire is a module and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from grader.model.wires.anthropic_messages import AnthropicMessages
from grader.model.wires.anthropic_vendor import AnthropicVendor
from grader.model.wires.openai_chat import OpenAIChat
from grader.model.wires.openai_embeddings import OpenAIEmbeddings
from grader.model.wires.openai_vendor import OpenAIVendor
from grader.model.wires.wire import Rejection, Vendor, Wire

ROUTES: Mapping[tuple[str, str], Wire] = {
    ("POST", "/v1/messages"): AnthropicMessages(),
    ("POST", "/v1/chat/completions"): OpenAIChat(),
    ("POST", "/v1/embeddings"): OpenAIEmbeddings(),
}
MODELS_LIST = ("GET", "/v1/models")

_ANTHROPIC = AnthropicVendor()
_OPENAI = OpenAIVendor()


def vendor_of(path: str, headers: Mapping[str, str]) -> Vendor:
    """Whose words an answer is in, for paths that both vendors or neither have."""
    return _ANTHROPIC if path.startswith("/v1/messages") or "anthropic-version" in headers else _OPENAI


def no_route(method: str, path: str) -> Rejection:
    """404 for a path that nothing serves, 405 for a path that another method serves."""
    served = sorted(m for m, p in (*ROUTES, MODELS_LIST) if p == path)
    if served:
        return Rejection(f"Not allowed to {method} on {path}; use {' or '.join(served)}.", status=405)
    paths = ", ".join(f"{m} {p}" for m, p in (*ROUTES, MODELS_LIST))
    return Rejection(f"Unknown request URL: {method} {path}. Served here: {paths}.", status=404)
