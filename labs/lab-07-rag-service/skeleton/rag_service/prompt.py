"""Builds the prompt: a prefix that never changes, passages that cannot leave their element, a budget that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag_service.retrieval import Passage


@dataclass(frozen=True)
class Prompt:
    """What is sent, and which passage stands behind each id in it."""

    user: str
    passages: dict[str, Passage]


def build(question: str, ranked: Sequence[Passage], *, max_tokens: int) -> Prompt:
    """Takes passages from the top until the next one would break the budget."""
    raise NotImplementedError("lab-07, task prompt: write the passages and the question into one message")
