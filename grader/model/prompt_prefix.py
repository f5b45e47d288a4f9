"""The part of a prompt that two requests have in common, byte for byte: all that a provider's cache can reuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from grader.model.journal import CHARACTERS_PER_TOKEN, Request, tokens_of

MARK = "cache_control"
SHOWN = 40  # characters on each side of the place where two prompts part


@dataclass(frozen=True)
class Segment:
    """One block of a prompt in the order in which a provider caches it: tools, system, messages.

    Attributes:
        place: path into the body, as in `messages.2.content.0`.
        text: its JSON, keys in the order in which they were sent, without its cache mark.
        mark: how long it asks the provider to keep the prompt up to here, as in "5m", or "".
    """

    place: str
    text: str
    mark: str = ""


@dataclass(frozen=True)
class Parting:
    """Where two prompts part.

    Attributes:
        place: the segment in which they do, or "" when one is the beginning of the other.
        characters: length of what they share, of `before` and `after` characters in all.
        marks: places of cache marks of the second request, each with its life and whether it lies in the shared part.
        was, now: what stands around the place in each.
    """

    place: str
    characters: int
    before: int
    after: int
    marks: tuple[tuple[str, str, bool], ...]
    was: str = ""
    now: str = ""

    @property
    def tokens(self) -> int:
        """Whole tokens in the shared part, by the course's rule of four characters."""
        return self.characters // CHARACTERS_PER_TOKEN

    @property
    def tokens_after(self) -> int:
        return tokens_of(self.after)


def segments(request: Request) -> tuple[Segment, ...]:
    """The prompt of a request of any wire, block by block."""
    body = request.body
    places = [("tools", body.get("tools"))]
    places += [(name, body[name]) for name in ("system", "instructions") if name in body]
    places += [(name, body[name]) for name in ("messages", "input") if name in body]
    return tuple(segment for name, value in places if value is not None for segment in _blocks(name, value))


def parting(before: Request, after: Request) -> Parting:
    """Where the second prompt stops being the first one, byte for byte."""
    old, new = segments(before), segments(after)
    shared, found, was, now = 0, "", "", ""
    marks: list[tuple[str, str, bool]] = []
    for left, right in zip_longest(old, new):
        if found or left is None or right is None:
            if right is not None and right.mark:
                marks.append((right.place, right.mark, False))
            continue
        same = _common(left.text, right.text)
        shared += same
        if not (whole := left.text == right.text):
            found, was, now = right.place, _around(left.text, same), _around(right.text, same)
        if right.mark:
            marks.append((right.place, right.mark, whole))
    return Parting(found, shared, _length(old), _length(new), tuple(marks), was, now)


def _blocks(name: str, value: Any) -> Iterator[Segment]:
    if not isinstance(value, list):
        yield Segment(name, _json(value))
        return
    for index, item in enumerate(value):
        place = f"{name}.{index}"
        content = item.get("content") if isinstance(item, Mapping) else None
        if isinstance(item, Mapping) and isinstance(content, list):
            head = {key: part for key, part in item.items() if key != "content"}
            yield Segment(place, _json(head))
            for number, block in enumerate(content):
                yield _segment(f"{place}.content.{number}", block)
        else:
            yield _segment(place, item)


def _segment(place: str, value: Any) -> Segment:
    if not isinstance(value, Mapping):
        return Segment(place, _json(value))
    mark = value.get(MARK)
    life = str(mark.get("ttl", "5m")) if isinstance(mark, Mapping) else ""
    return Segment(place, _json({key: part for key, part in value.items() if key != MARK}), life)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _length(parts: tuple[Segment, ...]) -> int:
    return sum(len(part.text) for part in parts)


def _common(left: str, right: str) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _around(text: str, place: int) -> str:
    head = "…" if place > SHOWN else ""
    tail = "…" if place + SHOWN < len(text) else ""
    return f"{head}{text[max(0, place - SHOWN) : place + SHOWN]}{tail}"
