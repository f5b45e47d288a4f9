# Wrong: cuts every text every 170 characters. One line, even chunks, no parsing; sentences, tables and part numbers
# are cut in two, and a short text is no longer one chunk.
"""Cuts a document into chunks that are verbatim slices, and says where in the document each one stands.

A chunk is the unit that is embedded, found, shown to the model and quoted, so its size is a compromise: a long chunk
blurs its embedding, a short one loses the sentence that says what "it" is. We cut where the author paused (sections,
then paragraphs, then sentences) and only fall back to words when a single sentence is too long.

Everything here is computed with offsets into the original text. Joining pieces of stripped lines would be shorter
code, and would break the promise that a quote can be found in the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WHOLE_LIMIT = 400  # a text this short is one chunk: there is nothing to gain from cutting it
TARGET_CHARACTERS = 1_050  # a chunk is closed when the next paragraph would take it past this
MAX_CHARACTERS = 1_200  # no paragraph longer than this stays whole

_BLANK_LINES = re.compile(r"\n[ \t\r]*(?:\n[ \t\r]*)+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]”’]*\s+(?=[\"'“(\[*A-Z0-9])")
_ATX_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*?)[ \t]*#*[ \t]*\r?(?:\n|$)")
_UNDERLINED_HEADING = re.compile(r"(?P<words>[^\n]*\S)[ \t]*\r?\n(?P<line>([=\-~*^\"])\3{2,})[ \t]*\r?(?:\n|$)")
_UNDERLINE_LEVELS = {"*": 1, "=": 2, "-": 3, "~": 4, "^": 5, '"': 6}
_HEADING_LIMIT = 80


@dataclass(frozen=True)
class Chunk:
    """A slice of a document: `text == document[start:end]`, with the headings above it."""

    text: str
    headings: tuple[str, ...]


@dataclass(frozen=True)
class _Block:
    """A paragraph as offsets; `heading` is set when the paragraph is (or begins with) a heading."""

    start: int
    end: int
    heading: tuple[int, str] | None = None

    @property
    def size(self) -> int:
        return self.end - self.start


def cut(text: str) -> list[Chunk]:
    """Cuts `text` into chunks in reading order; never returns an empty list."""
    return [Chunk(text[start : start + 170], ()) for start in range(0, len(text), 170)]


def _sections(text: str) -> Iterator[tuple[tuple[str, ...], list[_Block]]]:
    """Groups paragraphs under the path of headings that leads to them."""
    path: list[tuple[int, str]] = []
    blocks: list[_Block] = []
    for block in _paragraphs(text):
        if block.heading is not None:
            if blocks:
                yield tuple(words for _, words in path), blocks
                blocks = []
            level, _ = block.heading
            path = [entry for entry in path if entry[0] < level] + [block.heading]
        blocks.append(block)
    if blocks:
        yield tuple(words for _, words in path), blocks


def _paragraphs(text: str) -> Iterator[_Block]:
    position = 0
    for gap in [*_BLANK_LINES.finditer(text), None]:
        end = len(text) if gap is None else gap.start()
        start, stop = _without_margins(text, position, end)
        if start < stop:
            yield _Block(start, stop, _heading(text[start:stop]))
        position = end if gap is None else gap.end()


def _without_margins(text: str, start: int, end: int) -> tuple[int, int]:
    """Leaves blank lines out, but keeps the indentation of a first line: in code it carries meaning."""
    stripped_end = start + len(text[start:end].rstrip())
    body = text[start:stripped_end]
    lead = len(body) - len(body.lstrip("\r\n"))
    return start + lead, stripped_end


def _heading(paragraph: str) -> tuple[int, str] | None:
    if match := _ATX_HEADING.match(paragraph):
        return len(match[1]), match[2]
    if match := _UNDERLINED_HEADING.match(paragraph):
        return _UNDERLINE_LEVELS[match["line"][0]], match["words"].strip()
    words = paragraph.strip()
    # A short line without a full stop is most likely a title, below whatever real headings there are.
    one_short_line = "\n" not in words and len(words) <= _HEADING_LIMIT
    reads_like_a_title = words[0].isupper() and words[-1] not in ".,;:?!)>"
    return (7, words) if one_short_line and reads_like_a_title else None


def _pack(text: str, blocks: list[_Block]) -> Iterator[tuple[int, int]]:
    """Fills chunks with whole paragraphs of one section."""
    start: int | None = None
    end = 0
    for piece in (piece for block in blocks for piece in _pieces(text, block)):
        if start is not None and piece.end - start > TARGET_CHARACTERS:
            yield start, end
            start = None
        if start is None:
            start = piece.start
        end = piece.end
    if start is not None:
        yield start, end


def _pieces(text: str, block: _Block) -> Iterator[_Block]:
    """Splits a paragraph that is too long at sentences, and a sentence that is too long at words."""
    if block.size <= MAX_CHARACTERS:
        yield block
        return
    start = block.start
    while block.end - start > MAX_CHARACTERS:
        window = text[start : start + TARGET_CHARACTERS]
        ends = [match.start() for match in _SENTENCE_END.finditer(window)]
        spaces = [match.start() for match in re.finditer(r"\s", window)]
        length = next((found[-1] for found in (ends, spaces) if found and found[-1] > 0), len(window))
        yield _Block(start, start + length)
        start += length
        start += len(text[start : block.end]) - len(text[start : block.end].lstrip())
    if start < block.end:
        yield _Block(start, block.end)
