# Wrong: counts whole seconds between two questions.
"""Compares what RAG costs with sending the whole corpus in a cached prompt."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

_SECONDS_PER_DAY = 86_400
_MILLION = 1_000_000


@dataclass(frozen=True)
class Workload:
    """Money is decimal: two offers that cost the same must compare equal."""

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
    whole_corpus_usd_per_day: Decimal | None  # None: the corpus does not fit the window at any price
    cheaper: Literal["rag", "whole_corpus"]


def compare(workload: Workload) -> Comparison:
    price = workload.usd_per_million_input / _MILLION
    rag = workload.questions_per_day * workload.rag_prompt_tokens * price
    if workload.corpus_tokens > workload.context_window:
        return Comparison(rag, None, "rag")
    whole = _paid_prompts(workload) * workload.corpus_tokens * price
    return Comparison(rag, whole, "whole_corpus" if whole < rag else "rag")


def _paid_prompts(workload: Workload) -> Decimal:
    """How many times the plain price of the corpus a day costs."""
    questions = Decimal(workload.questions_per_day)
    # Multiplied out, so that "every 300 seconds exactly" is not lost to a division.
    cache_stays_warm = _SECONDS_PER_DAY // int(questions or 1) <= workload.cache_ttl_seconds
    if questions == 0 or not cache_stays_warm:
        return questions
    return workload.cache_write_factor + (questions - 1) * workload.cache_read_factor
