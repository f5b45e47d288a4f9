"""Compares what RAG costs with sending the whole corpus in a cached prompt."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True)
class Workload:
    corpus_tokens: int
    context_window: int
    questions_per_day: int
    rag_prompt_tokens: int
    usd_per_million_input: Decimal
    cache_write_factor: Decimal
    cache_read_factor: Decimal
    cache_ttl_seconds: Decimal


@dataclass(frozen=True)
class Comparison:
    rag_usd_per_day: Decimal
    whole_corpus_usd_per_day: Decimal | None
    cheaper: Literal["rag", "whole_corpus"]


def compare(workload: Workload) -> Comparison:
    """Applies the two formulas of the brief."""
    raise NotImplementedError("lab-07, task decision: work out both costs for a day")
