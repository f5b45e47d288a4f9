"""Groups paragraphs into chunks of a few hundred characters and remembers the heading above each."""

from __future__ import annotations

import re
from typing import NamedTuple

ROOM = 1_000

# A paragraph with the blank lines behind it, so that the pieces add up to the text.
_PARAGRAPH = re.compile(r".+?(?:\n[ \t]*\n\s*|\Z)", re.DOTALL)
_SENTENCE = re.compile(r".+?(?:[.!?][\"')\]]*\s+|\Z)", re.DOTALL)
_TITLE = re.compile(r"(?:#+ *)?(.{1,80}?)(?:\n[=*~^-]{3,})?\s*")


class Piece(NamedTuple):
    heading: str
    text: str


def chunks(text: str) -> list[Piece]:
    if len(text) <= 400:
        return [Piece("", text)]
    found: list[Piece] = []
    heading, current = "", ""
    for part in _parts(text):
        title = _title(part)
        if current.strip() and (title or len(current) + len(part.rstrip()) > ROOM):
            found.append(Piece(heading, current.strip("\n")))
            current = ""
        heading = title or heading
        current += part
    if current.strip():
        found.append(Piece(heading, current.strip("\n")))
    return found or [Piece("", text[:ROOM])]


def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for paragraph in _PARAGRAPH.findall(text):
        if len(paragraph) <= ROOM:
            parts.append(paragraph)
            continue
        for sentence in _SENTENCE.findall(paragraph):
            while len(sentence) > ROOM:  # no full stop for a page: a table, or not prose at all
                cut = sentence.rfind(" ", 1, ROOM) + 1 or ROOM
                parts.append(sentence[:cut])
                sentence = sentence[cut:]
            parts.append(sentence)
    return parts


def _title(part: str) -> str:
    match = _TITLE.fullmatch(part)
    if not match or match[1].rstrip()[-1:] in ("", ".", ":", ",", ";", "?", "!") or "\n" in match[1]:
        return ""
    return match[1].strip()
