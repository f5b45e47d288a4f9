"""What a day costs with RAG and with the whole corpus in a cached prompt."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def compare(
    *,
    corpus_tokens: float,
    context_window: float,
    questions_per_day: float,
    rag_prompt_tokens: float,
    usd_per_million_input: float,
    cache_write_factor: float,
    cache_read_factor: float,
    cache_ttl_seconds: float,
) -> dict[str, Any]:
    corpus, questions, rag_tokens, dollars, write, read, life = (
        _exact(value)
        for value in (
            corpus_tokens,
            questions_per_day,
            rag_prompt_tokens,
            usd_per_million_input,
            cache_write_factor,
            cache_read_factor,
            cache_ttl_seconds,
        )
    )
    price = dollars / 1_000_000
    rag = questions * rag_tokens * price
    if corpus > _exact(context_window):
        return {"rag_usd_per_day": float(rag), "whole_corpus_usd_per_day": None, "cheaper": "rag"}
    warm = questions * life >= 86_400
    whole = corpus * price * (write + (questions - 1) * read if warm else questions)
    return {
        "rag_usd_per_day": float(rag),
        "whole_corpus_usd_per_day": float(whole),
        "cheaper": "whole_corpus" if whole < rag else "rag",
    }


def _exact(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return Decimal(str(value))
