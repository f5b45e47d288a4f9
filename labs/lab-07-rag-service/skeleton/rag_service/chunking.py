"""Cuts a document into chunks that are verbatim slices, and says where in the document each one stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chunk:
    """A slice of a document, with the headings above it."""

    text: str
    headings: tuple[str, ...]


def cut(text: str) -> list[Chunk]:
    """Cuts `text` into chunks in reading order; at most 400 characters are one chunk."""
    raise NotImplementedError("lab-07, task retrieval: cut a text at paragraphs and sentences")
