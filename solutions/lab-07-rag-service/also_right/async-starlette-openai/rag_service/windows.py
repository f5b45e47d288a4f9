"""Slides a window of whole sentences over a text, so that no fact is ever on the edge of every window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

SHORT = 400
WINDOW = 1_000
OVERLAP = 200

_BREAK = re.compile(r"\n\s*\n|(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[*A-Z0-9])")
_HEADING = re.compile(r"#{1,6} +(?P<marked>.+)|(?P<underlined>.+)\n[=\-*~^]{3,}|(?P<short>[A-Z0-9][^\n.,;:?!]{1,70})")
_LONGEST_SENTENCE = 600


class Window(NamedTuple):
    text: str
    heading: str


class Sentence(NamedTuple):
    start: int
    end: int
    heading: str


def slide(text: str) -> list[Window]:
    if len(text) <= SHORT or not text.strip():
        return [Window(text[:WINDOW], "")]
    windows: list[Window] = []
    held: list[Sentence] = []
    for sentence in _sentences(text):
        too_long = held and sentence.end - held[0].start > WINDOW
        if held and (too_long or sentence.heading != held[0].heading):
            windows.append(_window(text, held))
            held = _tail(held) if too_long and sentence.heading == held[0].heading else []
            if held and sentence.end - held[0].start > WINDOW:
                held = []
        held.append(sentence)
    windows.append(_window(text, held))
    return windows


def _window(text: str, held: list[Sentence]) -> Window:
    return Window(text[held[0].start : held[-1].end], held[0].heading)


def _tail(held: list[Sentence]) -> list[Sentence]:
    """The last sentences that open the next window; never all of them, or the window would not move."""
    keep = len(held)
    while keep > 1 and held[-1].end - held[keep - 1].start <= OVERLAP:
        keep -= 1
    return held[keep:]


def _sentences(text: str) -> Iterator[Sentence]:
    heading, position = "", 0
    for gap in [*_BREAK.finditer(text), None]:
        end = gap.start() if gap else len(text)
        start = position + len(text[position:end]) - len(text[position:end].lstrip())
        position = gap.end() if gap else end
        if start >= end:
            continue
        found = _HEADING.fullmatch(text[start:end].strip())
        if found:
            heading = next(filter(None, found.groups())).strip()
        while end - start > _LONGEST_SENTENCE:
            space = text.rfind(" ", start + 1, start + _LONGEST_SENTENCE)
            middle = space if space > 0 else start + _LONGEST_SENTENCE
            yield Sentence(start, middle, heading)
            start = middle
        yield Sentence(start, end, heading)
