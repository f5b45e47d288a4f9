"""The Python reference topics as a corpus, paraphrased questions about them, and a BM25 search beside them."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from .handbook import Document, Question, normalised

QUESTIONS = Path(__file__).parent / "topic_questions.toml"


@cache
def documents() -> tuple[Document, ...]:
    """One document a topic."""
    from pydoc_data.topics import topics  # noqa: PLC0415 - half a megabyte that few checks need

    return tuple(Document("", name, name, text, "reference") for name, text in sorted(topics.items()))


@cache
def questions() -> tuple[Question, ...]:
    """Paraphrased questions with the sentence that answers each, for the topics of this Python only."""
    texts = {document.document_id: normalised(document.text) for document in documents()}
    entries = tomllib.loads(QUESTIONS.read_text("utf-8"))["question"]
    return tuple(
        Question("", entry["ask"], normalised(entry["gold"]), "topics", entry["topic"])
        for entry in entries
        # The wording of a topic changes between Python versions: what this one does not say is not asked.
        if normalised(entry["gold"]) in texts.get(entry["topic"], "")
    )


class ParagraphSearch:
    """BM25 over the paragraphs of the topics, sending as many passages and characters as the brief allows."""

    def __init__(self) -> None:
        import bm25s  # noqa: PLC0415 - numpy and scipy are loaded for this check only

        self._library: Any = bm25s
        self._paragraphs = [
            normalised(paragraph)
            for document in documents()
            for paragraph in document.text.split("\n\n")
            if paragraph.strip()
        ]
        self._index = bm25s.BM25()
        self._index.index(self._words(self._paragraphs), show_progress=False)

    def found(self, asked: Question, *, passages: int, characters: int) -> bool:
        """Whether the sentence stands in one of the best paragraphs that fit."""
        numbers, _ = self._index.retrieve(self._words([asked.ask]), k=passages, show_progress=False)
        room = characters
        for number in numbers[0]:
            paragraph = self._paragraphs[int(number)]
            room -= len(paragraph)
            if room < 0:
                return False
            if asked.gold in paragraph:
                return True
        return False

    def _words(self, texts: list[str]) -> Any:
        return self._library.tokenize(texts, stopwords="en", show_progress=False)
