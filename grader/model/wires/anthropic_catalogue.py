"""The Claude models that this double lists, and the limits of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claude:
    """One model: lengths are in tokens; a prompt shorter than `least_cached` is never cached."""

    id: str
    name: str
    line: str
    context: int = 1_000_000
    most_output: int = 128_000
    least_cached: int = 1024


MODELS = (
    Claude("claude-opus-5-5", "Claude Opus 5.5", "opus"),
    Claude("claude-sonnet-5-5", "Claude Sonnet 5.5", "sonnet"),
    Claude("claude-haiku-5-5", "Claude Haiku 5.5", "haiku"),
)
# Any other name is accepted too, and is a model like this.
ANY = Claude("", "", "")


def model_named(name: str) -> Claude:
    """The model's own limits, or those of any other."""
    return next((model for model in MODELS if model.id == name), ANY)
