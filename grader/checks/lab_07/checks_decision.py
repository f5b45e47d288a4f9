"""Task decision: know when not to build RAG."""

from __future__ import annotations

import random
import re
from typing import Any

from grader.checking import Stage, check, expect, expect_equal

EXAMPLE = {
    "corpus_tokens": 150_000, "context_window": 200_000, "questions_per_day": 400, "rag_prompt_tokens": 2300,
    "usd_per_million_input": 3.0, "cache_write_factor": 1.25, "cache_read_factor": 0.1, "cache_ttl_seconds": 300,
}  # fmt: skip
LEAST_WORDS = 120
LEAST_DIFFERENT = 60
DAY = 86_400


@check(task="decision")
def compares_costs(stage: Stage, rng: random.Random) -> None:
    """The cost of RAG and of the whole corpus in a cached prompt are right to a cent, at the edges too."""
    cases: list[dict[str, Any]] = [
        EXAMPLE,
        EXAMPLE | {"questions_per_day": 288},  # 300 seconds apart: the cache just lives
        EXAMPLE | {"questions_per_day": 287},
        EXAMPLE | {"questions_per_day": 287, "cache_ttl_seconds": 301},  # 301.05 seconds apart
        EXAMPLE | {"questions_per_day": 287, "cache_ttl_seconds": 302},
        EXAMPLE | {"questions_per_day": 1},
        EXAMPLE | {"questions_per_day": 1, "cache_ttl_seconds": DAY},  # one question writes the cache and none reads it
        EXAMPLE | {"corpus_tokens": 200_001},  # does not fit
        EXAMPLE | {"corpus_tokens": 2300, "questions_per_day": 10},  # a tie
        EXAMPLE | {"corpus_tokens": 1200},
        *(_random_case(rng) for _ in range(12)),
    ]
    for case in cases:
        response = stage.program.post("/compare-cost", json=case)
        expect_equal(response.status, 200, f"the status for {case}")
        body = response.json()
        rag, whole = _costs(case)
        for field, expected in (("rag_usd_per_day", rag), ("whole_corpus_usd_per_day", whole)):
            observed = body.get(field)
            if expected is None:
                expect(
                    observed is None and field in body,
                    f"{field} for {case}",
                    expected="null: it does not fit",
                    observed=body,
                )
            else:
                expect(
                    _number(observed) and abs(observed - expected) <= 0.0101,
                    f"{field} is not right to a cent for {case}",
                    expected=f"{expected:.4f}",
                    observed=observed,
                    hint="The first question writes the cache; others read it if it lives as long (exactly counts).",
                )
        cheaper = "rag" if whole is None or rag <= whole else "whole_corpus"
        expect_equal(body.get("cheaper"), cheaper, f"`cheaper` for {case}", hint="A tie is `rag`.")


@check(task="decision")
def records_its_decision(stage: Stage) -> None:
    """ADR.md holds both figures for the brief's example, a decision and its consequences."""
    path = stage.program.recipe.folder / "ADR.md"
    expect(path.is_file(), "there is no ADR.md", expected="ADR.md beside the folder rag_service")
    text = path.read_text("utf-8", "replace")
    words = re.findall(r"[^\W\d_]+", text.casefold())
    expect(
        len(words) >= LEAST_WORDS and len(set(words)) >= LEAST_DIFFERENT,
        "ADR.md is too short",
        expected=f"at least {LEAST_WORDS} words, {LEAST_DIFFERENT} different ones",
        observed=f"{len(words)} words, {len(set(words))} different ones",
    )
    for heading in ("Decision", "Consequences"):
        found = re.search(
            rf"^#{{1,6}} .*\b{heading}\b|^.*\b{heading}\b.*\n(=+|-+)\s*$", text, re.MULTILINE | re.IGNORECASE
        )
        expect(
            found,
            f"ADR.md has no heading {heading}",
            expected=f"a line `## {heading}`",
            observed=[line for line in text.splitlines() if line.startswith("#")],
        )
    amounts = {float(amount.replace(",", "")) for amount in re.findall(r"\d[\d,]*\.\d\d(?!\d)", text)}
    rag, whole = _costs(EXAMPLE)
    assert whole is not None
    for name, figure in (("RAG", rag), ("the whole corpus", whole)):
        expect(
            any(abs(amount - figure) <= 0.0101 for amount in amounts),
            f"ADR.md does not hold the cost of {name} a day",
            expected="both figures of the brief's example, in dollars, to the cent",
            observed=sorted(amounts),
            hint="Send the example to your own /compare-cost.",
        )


def _costs(case: dict[str, Any]) -> tuple[float, float | None]:
    """What the brief's two formulas give, in dollars a day."""
    price, count = case["usd_per_million_input"] / 1e6, case["questions_per_day"]
    rag = count * case["rag_prompt_tokens"] * price
    if case["corpus_tokens"] > case["context_window"]:
        return rag, None
    once = case["corpus_tokens"] * price
    if DAY / count <= case["cache_ttl_seconds"]:
        return rag, once * (case["cache_write_factor"] + (count - 1) * case["cache_read_factor"])
    return rag, once * count


def _random_case(rng: random.Random) -> dict[str, Any]:
    return {
        "corpus_tokens": rng.randint(500, 260_000),
        "context_window": rng.choice((128_000, 200_000, 1_000_000)),
        "questions_per_day": rng.choice((1, 7, 24, 25, 100, 300, 1440, 20_000, 86_400, 100_000)),
        "rag_prompt_tokens": rng.randint(300, 6000),
        "usd_per_million_input": rng.choice((0.25, 1.0, 3.0, 15.0)),
        "cache_write_factor": rng.choice((1.0, 1.25, 2.0)),
        "cache_read_factor": rng.choice((0.05, 0.1, 0.5)),
        "cache_ttl_seconds": rng.choice((300, 3600)),
    }


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
