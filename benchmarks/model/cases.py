"""One case of the battery, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.model.doubles import Double
from benchmarks.model.sides import SIDES, Anthropic, Chat, Side

CITY = {"city": "Arden"}
LONG = "A reply that is long enough to be sent in several pieces, whichever double cuts it. " * 4
KEY = {"authorization": "Bearer k"}
ANTHROPIC_KEY = {**KEY, "anthropic-version": "2026-10-21"}


@dataclass(frozen=True)
class Case:
    """One line of the battery; it passes when `run` raises nothing."""

    name: str
    run: Callable[[Double], None]


CASES: list[Case] = []
# What the names begin with, in the order of the page.
GROUPS = ("anthropic", "chat", "responses", "openai", "double", "faults", "verdict", "other vendors", "other endpoints")


def in_order() -> list[Case]:
    """All cases, group by group."""
    return sorted(CASES, key=lambda case: GROUPS.index(case.name.partition(":")[0]))


def case(name: str) -> Callable[[Callable[[Double], None]], Callable[[Double], None]]:
    """A case of its own."""

    def add(run: Callable[[Double], None]) -> Callable[[Double], None]:
        CASES.append(Case(name, run))
        return run

    return add


def _on(side: type[Side], run: Callable[[Double, type[Side]], None], double: Double) -> None:
    run(double, side)


def on_each_side(name: str) -> Callable[[Callable[[Double, type[Side]], None]], None]:
    """A case for each of the three endpoints."""

    def add(run: Callable[[Double, type[Side]], None]) -> None:
        CASES.extend(Case(f"{side.name}: {name}", partial(_on, side, run)) for side in SIDES)

    return add


@contextmanager
def raises(*kinds: type[BaseException]) -> Iterator[list[Any]]:
    """The block must end in one of these; the list holds it."""
    caught: list[Any] = []
    try:
        yield caught
    except kinds as error:
        caught.append(error)
    else:
        raise AssertionError(f"nothing was raised; {' or '.join(kind.__name__ for kind in kinds)} was expected")


def plain(double: Double, side: type[Side]) -> tuple[dict[str, str], str, dict[str, Any]]:
    """Headers, address and body for a request without an SDK."""
    message = [{"role": "user", "content": "Hello?"}]
    if side is Anthropic:
        body = {"model": "m", "max_tokens": 9, "messages": message}
        return dict(ANTHROPIC_KEY), f"{double.anthropic_url}/v1/messages", body
    if side is Chat:
        return dict(KEY), f"{double.openai_url}/chat/completions", {"model": "m", "messages": message}
    return dict(KEY), f"{double.openai_url}/responses", {"model": "m", "input": "Hello?"}
