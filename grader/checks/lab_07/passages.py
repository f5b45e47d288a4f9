"""Reads a prompt as the brief says that the model does: passages in their elements, all else as instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from grader.checking import Request

_ATTRIBUTE = re.compile(r'\s+([A-Za-z_][\w.:-]*)\s*=\s*"([^"]*)"')
_ELEMENT = re.compile(r'<passage((?:\s+[A-Za-z_][\w.:-]*\s*=\s*"[^"]*")*)\s*>(.*?)</passage\s*>', re.DOTALL)
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&", "&quot;": '"', "&#x27;": "'"}
_ENTITY = re.compile("|".join(_ENTITIES))
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True)
class Passage:
    """One passage element, entities decoded; `markup` is the length of the whole element as it was sent."""

    id: str
    text: str
    attributes: Mapping[str, str]
    markup: int = 0

    @property
    def well_named(self) -> bool:
        """Whether the id is of the form that the brief asks for."""
        return bool(_ID.fullmatch(self.id))


@dataclass(frozen=True)
class Prompt:
    """What the model understands of a request.

    Attributes:
        passages: in the order in which they stand.
        outside: all text that is no part of a passage element: the model takes it as instruction.
        last: the part of `outside` that stands in the last user message: the question is there.
    """

    request: Request
    passages: tuple[Passage, ...]
    outside: str
    last: str

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(passage.text for passage in self.passages)


def decoded(text: str) -> str:
    """The text with the five entities of the brief replaced, once."""
    return _ENTITY.sub(lambda found: _ENTITIES[found[0]], text)


def encoded_length(text: str) -> int:
    """How many characters a text takes at most inside of a passage."""
    return sum({"&": 5, "<": 4, ">": 4, '"': 6, "'": 6}.get(character, 1) for character in text)


def read_prompt(request: Request) -> Prompt:
    """The passages of all user messages, and what stands outside of them."""
    passages: list[Passage] = []
    outside = [request.system]
    last = ""
    for message in request.messages:
        if message.role != "user":
            outside.append(message.text)
            continue
        passages += [_passage(found) for found in _ELEMENT.finditer(message.text)]
        last = _ELEMENT.sub("\n", message.text)
        outside.append(last)
    return Prompt(request, tuple(passages), "\n".join(outside), last)


def _passage(found: re.Match[str]) -> Passage:
    attributes: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(found[1]):
        attributes[name] = decoded(value)  # of two with one name the last counts: a forged id that follows wins
    return Passage(attributes.get("id", ""), decoded(found[2]), attributes, len(found[0]))
