"""Writes the handbooks of three companies afresh for every run, together with the questions that they answer."""

from __future__ import annotations

import random
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .facts import Facts, fill

COMPANIES = ("harbor", "northline", "vesta")

_PAGES = Path(__file__).parent / "pages"
_GOLD = re.compile(r"\[\[(\w+)\|(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """A document as it is handed to the learner's service; `tenant` is a company, not yet the name used in a run."""

    tenant: str
    document_id: str
    title: str
    text: str
    collection: str
    canary: str = ""


@dataclass(frozen=True)
class Question:
    """A question and the sentence that answers it, verbatim in `document_id` but for white space."""

    tenant: str
    ask: str
    gold: str
    slice: str
    document_id: str


@dataclass(frozen=True)
class Handbook:
    """What three companies have written down, in this run."""

    documents: tuple[Document, ...]
    questions: tuple[Question, ...]

    def of(self, tenant: str) -> tuple[Document, ...]:
        return tuple(document for document in self.documents if document.tenant == tenant)

    def asked(self, tenant: str, *slices: str) -> tuple[Question, ...]:
        return tuple(q for q in self.questions if q.tenant == tenant and (not slices or q.slice in slices))


@dataclass(frozen=True)
class _Part:
    """A piece of text with its marks taken out, and the questions that it answers."""

    text: str
    questions: tuple[tuple[str, str, str], ...]  # ask, gold, slice


def normalised(text: str) -> str:
    """The text with each run of white space as one space: how gold sentences are compared."""
    return " ".join(text.split())


def write_handbook(rng: random.Random) -> Handbook:
    """All documents of all companies, with other facts for each rng."""
    documents: list[Document] = []
    questions: list[Question] = []
    facts = Facts(rng)
    for name, page in _pages().items():
        for tenant in COMPANIES:
            for index in range(page["copies"][tenant]):
                document, asked = _write(name, tenant, index, facts, rng)
                documents.append(document)
                questions.extend(asked)
    return Handbook(tuple(documents), tuple(questions))


@cache
def _pages() -> Mapping[str, Any]:
    return {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(_PAGES.glob("*.toml"))}


def _write(name: str, tenant: str, index: int, facts: Facts, rng: random.Random) -> tuple[Document, list[Question]]:
    """One copy of one page, and its questions."""
    page = _pages()[name]
    key = f"{tenant}/{name}"
    own = {fact: facts.draw(f"{key}/{fact}", recipe, index) for fact, recipe in page["facts"].items()}
    asked: list[tuple[str, str, str]] = []
    for repeated, entry in page.get("repeat", {}).items():
        numbers = range(index * entry["count"], (index + 1) * entry["count"])
        parts = [_repetition(f"{key}/{repeated}", entry, number, facts) for number in numbers]
        own[repeated + "*"] = "\n\n".join(part.text for part in parts)
        asked += [question for part in parts for question in part.questions]
    body = _part(page["body"]["text"].strip(), page.get("questions", ()), own)
    canary = fill("Q@#@#@-@#@#@", rng)
    document = Document(
        tenant=tenant,
        document_id=_fill(page["id"], own).lower(),
        title=_fill(page["title"], own),
        text=_reflowed(_with_canary(body.text, canary)),
        collection=page["collection"],
        canary=canary,
    )
    everything = (*asked, *body.questions)
    return document, [Question(tenant, ask, gold, slice_, document.document_id) for ask, gold, slice_ in everything]


def _repetition(key: str, entry: Mapping[str, Any], number: int, facts: Facts) -> _Part:
    own = {fact: facts.draw(f"{key}/{fact}", recipe, number) for fact, recipe in entry["facts"].items()}
    return _part(entry["text"].strip(), entry.get("questions", ()), own)


def _part(template: str, questions: Iterable[Mapping[str, str]], own: Mapping[str, str]) -> _Part:
    """Fills a template in; `[[name|sentence]]` marks a sentence that a question may name as its gold."""
    # Marks are read before the facts are filled in, so that no value can look like a mark.
    golds = {mark: normalised(_fill(sentence, own)) for mark, sentence in _GOLD.findall(template)}
    text = _fill(_GOLD.sub(lambda found: found[2], template), own)
    asked = tuple((_fill(question["ask"], own), golds[question["gold"]], question["slice"]) for question in questions)
    return _Part(text, asked)


def _fill(template: str, own: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+\*?)\}", lambda found: own[found[1]], template)


def _with_canary(text: str, canary: str) -> str:
    """The text with its control mark after the first paragraph and at the end, as the group's printers do it."""
    first, blank, rest = text.partition("\n\n")
    if not blank:
        return f"{text} Control mark {canary}."
    return f"{first} Control mark {canary}.\n\n{rest}\n\nControl mark {canary}."


def _reflowed(text: str) -> str:
    """Lines of an even width again, after facts of any length were filled in: sentences run over line ends."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(textwrap.fill(paragraph, 100, break_on_hyphens=False) for paragraph in paragraphs)
