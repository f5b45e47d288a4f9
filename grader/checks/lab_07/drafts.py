"""Writes small documents for one check: notes with a fact in one chunk, texts whose sentences name their edition."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .facts import Facts, fill
from .handbook import Document

_FILLER = (
    "Keys hang behind the porter's desk and are signed for.",
    "The lamp above it burns while somebody is inside.",
    "Whoever leaves last switches the fan off.",
    "Ask the shift lead before you move anything that is marked in yellow.",
    "A copy of this note hangs in the canteen.",
    "Trucks with a trailer turn behind the old mill.",
)


@dataclass(frozen=True)
class Note:
    """A document of at most 400 characters, thus one chunk, with a question that it answers."""

    document: Document
    ask: str
    gold: str


class Drafts:
    """A source of documents that share no fact with each other."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._facts = Facts(rng)
        self._count = 0

    def note(self, *, document_id: str = "", collection: str = "", subject: str = "", length: int = 0) -> Note:
        """A new note; `subject` makes two notes answer the same question, `length` makes it at least so long."""
        self._count += 1
        subject = subject or self.subject()
        code = self.code()
        gold = f"The door code of {subject} is {code} until further notice."
        text = f"{gold} {self._rng.choice(_FILLER)}"
        while len(text) < length:
            text = f"{text} {self._rng.choice(_FILLER)}"
        document_id = document_id or f"note-{self._count}-{self._rng.getrandbits(24):06x}"
        document = Document("", document_id, f"Note about {subject}", text, collection, code)
        return Note(document, f"What is the door code of {subject}?", gold)

    def notes(self, count: int, *, collection: str = "") -> list[Note]:
        """Several notes, each about something else."""
        return [self.note(collection=collection) for _ in range(count)]

    def subject(self) -> str:
        """Something that no other document of these drafts is about."""
        place = self._facts.draw("place", "place", 0)
        return f"{self._rng.choice(('shed', 'hall', 'silo', 'workshop', 'cabin'))} {self.code()} in {place}"

    def prose(self) -> str:
        """A sentence without digits or capitals but its first, of words that stand nowhere else."""
        words = [
            "".join(self._rng.choices("bdfgklmnprstvz", k=2)) + "ou" + self._rng.choice("klmnrt") for _ in range(6)
        ]
        return f"Nobody {words[0]} the {words[1]} of {words[2]} while {words[3]} {words[4]} {words[5]} there."

    def code(self) -> str:
        """A word that stands nowhere else."""
        return fill("Z@#@##@-#@#", self._rng)


@dataclass(frozen=True)
class Edition:
    """One version of a text in sections; each sentence holds `mark` and the number of its section."""

    mark: str
    text: str
    sections: tuple[str, ...]  # the word that each section's sentences hold

    def seen_in(self, texts: tuple[str, ...]) -> set[str]:
        """Which sections the texts hold."""
        return {section for section in self.sections if any(section in text for text in texts)}


def edition(rng: random.Random, subject: str, *, sections: int = 5) -> Edition:
    """A fresh version of the rules for `subject`: 15 sentences, about 1,600 characters, by default."""
    mark = fill("R@#@##", rng)
    names = tuple(f"{mark}-S{number}X" for number in range(1, sections + 1))
    paragraphs = [
        f"Rule {name} for {subject} holds from {rng.randint(2, 28)} May and replaces all the others of its number. "
        f"By rule {name} the fee is EUR {rng.randint(11, 99)}.{rng.randint(10, 99)} for each unit that is moved twice. "
        f"Exceptions from {name} are signed by the manager of the depot and kept for {rng.randint(2, 90)} months."
        for name in names
    ]
    return Edition(mark, "\n\n".join(paragraphs), names)
