"""The model of lab-07 in practice: it understands prompts as the brief says, and looks for the answer by itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

from grader.checking import Reply, Request, Step

from .passages import Prompt, read_prompt
from .reader import NOT_FORCED, Reader, Seen, forces_answer, well

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\d)[^.!?\n]*)*[.!?]?")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9]|[A-Za-z0-9]")
# Words that stand in every question and say nothing about what it asks.
_EMPTY = frozenset(
    re.findall(
        "[a-z]+",
        "a an and are as at be by can do does for from has have how i if in is it its many much must my of often on or "
        "our per the their there they this to was we what when where which who why will with you your",
    )
)


def model(examples: Path) -> PractisedReader:
    """The reader, with the open questions learnt and able to answer others from the words that they share."""
    reader = PractisedReader()
    for question in json.loads((examples / "questions.json").read_text("utf-8")):
        reader.teach(question["ask"], *([question["gold"]] if question["gold"] else []))
    return reader


class PractisedReader(Reader):
    """A reader that also answers questions nobody taught it: from the sentence that shares most words with them."""

    def __call__(self, request: Request) -> Step:
        """Carry out the request as a competent model would."""
        prompt = read_prompt(request)
        if not forces_answer(request):
            return Reply(NOT_FORCED)
        if self.question_in(prompt) is not None:
            return super().__call__(request)
        return well(best_sentence(prompt))


def best_sentence(prompt: Prompt) -> Seen:
    """The passage and the sentence that share most with what is asked; none when they share next to nothing."""
    asked = words_of(prompt.last)
    best = Seen(prompt, prompt.last.strip(), None, "")
    most = 0.0
    for passage in prompt.passages:
        subject = words_of(passage.attributes.get("title", ""))
        for found in _SENTENCE.finditer(passage.text):
            sentence = found[0].strip()
            # What the title says counts half: it is the same for all sentences of a passage.
            score = len(asked & words_of(sentence)) + len(asked & subject) / 2
            if score > most and len(asked & words_of(sentence)) >= min(2, len(asked)):
                most, best = score, Seen(prompt, prompt.last.strip(), passage, sentence)
    return best


def words_of(text: str) -> set[str]:
    """The words of a text that say something, without case and plural."""
    return {word.lower().rstrip("s") for word in _WORD.findall(text)} - _EMPTY
