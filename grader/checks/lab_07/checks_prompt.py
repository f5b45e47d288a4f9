"""Task prompt: whole passages within the budget, behind a prefix that never changes."""

from __future__ import annotations

import random
from typing import Any

from grader.checking import Stage, check, expect, expect_equal, note

from .drafts import Drafts
from .expectations import expect_abstained
from .handbook import Document
from .passages import Prompt
from .service import Service, fresh_tenant

BUDGETS = (600, 750, 1000, 1500, 2500, 4000)
SLACK = 400  # characters that may stay unused before we say that a passage would have fitted


@check(task="prompt", after=("answers_with_a_citation",), seconds=20)
def fits_the_budget_with_whole_passages(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """A smaller budget drops whole passages from the end, as few as possible, and cuts none."""
    # Long and short in turn: whoever goes on behind the first that does not fit sends a short one out of its order.
    tenant, notes = fresh_tenant(rng), [drafts.note(length=(0, 320)[number % 2]) for number in range(21)]
    service.keep(tenant, *(note_.document for note_ in notes))
    ask = notes[4].ask
    service.reader.teach(ask, notes[4].gold)
    widest = service.ask(tenant, ask, k=20, max_prompt_tokens=8000).prompt
    expect_equal(len(widest.passages), 20, "the number of passages in 8,000 tokens")
    counts = []
    for budget in BUDGETS:
        asked = service.ask(tenant, ask, k=20, max_prompt_tokens=budget)
        if not asked.prompts and budget < 1000:
            expect_abstained(asked, f"with {budget} tokens, where nothing fits")
            continue
        prompt = asked.prompt
        _expect_within(prompt, budget)
        count = len(prompt.passages)
        counts.append(count)
        expect_equal(
            list(prompt.texts),
            list(widest.texts[:count]),
            f"the passages for {budget} tokens",
            hint="Drop from the end, whole: the most relevant ones stay, and none is cut.",
        )
        if count < len(widest.passages):
            unused = budget * 4 - prompt.request.tokens * 4
            expect(
                unused < widest.passages[count].markup + SLACK,
                f"a passage was dropped that fits into {budget} tokens",
                expected=f"another passage of {widest.passages[count].markup} characters",
                observed=f"{count} passages, {unused} characters unused",
                hint="A token is four characters; count the text, not the tool definitions.",
            )
    note(f"passages sent for {', '.join(map(str, BUDGETS))} tokens: {', '.join(map(str, counts))}")


@check(task="prompt", after=("answers_with_a_citation",), seconds=20)
def counts_what_is_really_sent(service: Service, drafts: Drafts, rng: random.Random) -> None:
    """Escaped characters, attributes and a long question count too: no prompt is over its budget."""
    tenant = fresh_tenant(rng)
    heavy = [
        Document("", f"heavy-{n}", f'{"<&>" * 60} "{n}"', f"Set {n}: " + "&<" * 150 + f" {drafts.code()}", "")
        for n in range(20)
    ]
    service.keep(tenant, *heavy)
    for budget, length in ((600, 60), (1000, 60), (1000, 2000), (3000, 2000), (8000, 60)):
        ask = f"Which set has the sign {drafts.code()} and which has not? ".ljust(length, "?")
        service.reader.teach(ask)
        asked = service.ask(tenant, ask, k=20, max_prompt_tokens=budget)
        if asked.prompts or budget >= 3000:
            _expect_within(asked.prompt, budget)
        else:
            expect_abstained(asked, f"of {length} characters with {budget} tokens, where nothing fits")


@check(task="prompt", after=("answers_with_a_citation",), seconds=30)
def keeps_the_prefix_stable(stage: Stage, service: Service, drafts: Drafts, rng: random.Random) -> None:
    """System prompt and tools are the same bytes for all tenants, questions and options, after a restart too."""
    prefixes: dict[str, str] = {}
    variants: list[dict[str, Any]] = [{}, {"k": 2}, {"max_prompt_tokens": 1500, "collection": "c"}]
    variants += [{"k": k} for k in (7, 12)]
    for when in ("before", "after"):
        if when == "after":
            # Between these two it is another day at every hour: a date in the prompt is seen.
            stage.restart({"TZ": "Etc/GMT+12"})
            _ask_once(service, drafts, fresh_tenant(rng), prefixes, "half a world to the west")
            stage.restart({"TZ": "Etc/GMT-14"})
        for number, options in enumerate(variants):
            what = f"request {number + 1} {when} the restart, options {options}"
            _ask_once(service, drafts, fresh_tenant(rng), prefixes, what, **options)
    expect(
        len(prefixes) == 1,
        "system prompt and tools differ between requests",
        expected="the same bytes in every request: the provider caches the prefix",
        observed="; ".join(f"{which}: {prefix[:200]}" for prefix, which in prefixes.items()),
        hint="Is the tenant, the date, a request id or the question in the system prompt, or a set in the schema?",
    )


def _ask_once(
    service: Service, drafts: Drafts, tenant: str, prefixes: dict[str, str], what: str, **options: Any
) -> None:
    """One question of a new tenant that has as many notes as are asked for, at most 12."""
    notes = [drafts.note(collection="c") for _ in range(min(12, options.get("k", 1)))]
    service.keep(tenant, *(note_.document for note_ in notes))
    ask = f"{notes[0].ask} {'Think well. ' * 20 * len(options)}"
    service.reader.teach(ask, notes[0].gold)
    prefixes.setdefault(service.ask(tenant, ask, **options).prompt.request.prefix, what)


def _expect_within(prompt: Prompt, budget: int) -> None:
    tokens = prompt.request.tokens
    expect(
        tokens <= budget,
        "a prompt is over its budget",
        expected=f"at most {budget} tokens",
        observed=f"{tokens} tokens, {len(prompt.passages)} passages",
        hint="Count the text as it is sent: escaped, with its markup, the system prompt and the question.",
    )
