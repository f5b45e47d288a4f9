"""Plays the model: reads the passages, answers from the sentence that it knows to be right, obeys what it is told."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from grader.checking import Reply, Request, Step, ToolCall, Unfaithful

from .handbook import Question
from .passages import Passage, Prompt, read_prompt

NOT_FORCED = "I would rather chat: no tool named `answer` is offered and forced."
UNASKED = "I see no question in the last user message."

_NO_PLANS: Mapping[str, Step] = MappingProxyType({})


@dataclass(frozen=True)
class Seen:
    """A prompt with its question, and the sentence that answers it where a passage holds one.

    Attributes:
        found: the passage that holds the gold sentence, or None.
        quote: the gold sentence as it stands in that passage, with the passage's own line ends.
    """

    prompt: Prompt
    ask: str
    found: Passage | None
    quote: str

    @property
    def passages(self) -> tuple[Passage, ...]:
        return self.prompt.passages

    @property
    def first(self) -> Passage:
        """The first passage; an empty one where a prompt holds none that can be read."""
        return self.passages[0] if self.passages else Passage("none", "", {})


Order = Callable[[Seen], Step]


class Reader:
    """A competent model with a sentence to look for per question; safe to be called from several threads.

    Questions that it was not taught are answered with null. Orders make it misbehave for one question.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._golds: dict[str, list[str]] = {}
        self._orders: dict[str, Order] = {}
        self._planted: Mapping[str, Step] = _NO_PLANS

    def learn(self, questions: Iterable[Question]) -> None:
        """Know the sentences that answer these questions; a question of two companies has two."""
        for question in questions:
            self.teach(question.ask, question.gold)

    def teach(self, ask: str, *golds: str) -> None:
        """Know the sentences that answer one question."""
        with self._lock:
            known = self._golds.setdefault(ask, [])
            known += [gold for gold in golds if gold not in known]

    def order(self, ask: str, order: Order) -> None:
        """Answer this question as `order` says instead of well."""
        with self._lock:
            self._golds.setdefault(ask, [])
            self._orders[ask] = order

    def plant(self, planted: Mapping[str, Step]) -> None:
        """Do these steps when their words stand outside of a passage."""
        self._planted = planted

    def question_in(self, prompt: Prompt) -> str | None:
        """The question that the last user message asks, or None."""
        with self._lock:
            asked = [ask for ask in self._golds if ask in prompt.last]
        return max(asked, key=len, default=None)

    def __call__(self, request: Request) -> Step:
        """The step for a request; not held to what it forces or to its schema, for much of this lab is about that."""
        return Unfaithful(self._reply(request))

    def _reply(self, request: Request) -> Step:
        prompt = read_prompt(request)
        for words, step in self._planted.items():
            if words in prompt.outside:
                return step
        if not forces_answer(request):
            return Reply(NOT_FORCED)
        ask = self.question_in(prompt)
        if ask is None:
            return Reply(UNASKED)
        seen = self._look(prompt, ask)
        order = self._orders.get(ask, well)
        return order(seen)

    def _look(self, prompt: Prompt, ask: str) -> Seen:
        for passage in prompt.passages:
            for gold in self._golds[ask]:
                if quote := find_gold(gold, passage.text):
                    return Seen(prompt, ask, passage, quote)
        return Seen(prompt, ask, None, "")


def find_gold(gold: str, text: str) -> str:
    """The gold sentence as it stands in the text, white space aside, or ""."""
    pattern = r"\s+".join(re.escape(word) for word in gold.split())
    found = re.search(pattern, text)
    return found[0] if found else ""


def forces_answer(request: Request) -> bool:
    """Whether the request offers the tool `answer` and leaves the model no choice but to call it."""
    offered = [tool.name for tool in request.tools]
    return ("answer" in offered and request.tool_choice == ("tool", "answer")) or (
        offered == ["answer"] and request.tool_choice == "any"
    )


def answer(text: str | None, *citations: Mapping[str, Any]) -> ToolCall:
    """The call that the brief asks for."""
    return ToolCall("answer", {"answer": text, "citations": [dict(citation) for citation in citations]})


def cite(passage_id: str, quote: str) -> dict[str, str]:
    """One citation of the model's."""
    return {"passage_id": passage_id, "quote": quote}


# --- orders ---------------------------------------------------------------------------------------------------------


def well(seen: Seen) -> Step:
    """Answers from the passage that holds the sentence, or says that none does."""
    if seen.found is None:
        return answer(None)
    return answer(f"{seen.quote} [{seen.found.id}]", cite(seen.found.id, seen.quote))


def from_the_first_passage(seen: Seen) -> Step:
    """Answers from whatever passage stands first; for checks that only need some answer."""
    first = seen.first
    return answer("As the first passage says.", cite(first.id, first.text[:40]))


def saying_null(seen: Seen) -> Step:
    """Says that the passages do not hold the answer, with a citation that would hold."""
    first = seen.first
    return answer(None, cite(first.id, first.text[:40]))


def without_citations(_seen: Seen) -> Step:
    """Answers out of its own head."""
    return answer("Everybody knows that it is 42.")


def altered(quote: str) -> str:
    """The quote with one digit or letter changed."""
    for place, character in enumerate(quote):
        if character.isdigit():
            return quote[:place] + str((int(character) + 1) % 10) + quote[place + 1 :]
    return ("Y" if quote[0] != "Y" else "X") + quote[1:]


def bad_citations(seen: Seen, elsewhere: str) -> list[dict[str, str]]:
    """Citations of which none holds: an id never sent, a digit, the case or a space changed, other words, no words."""
    first = seen.found or seen.first
    quote = seen.quote or first.text[:60] or "Nothing at all."
    others = [passage for passage in seen.passages if passage.id != first.id and quote not in passage.text]
    return [
        cite("passage-that-was-never-sent", quote),
        cite(first.id, altered(quote)),
        cite(first.id, quote.swapcase()),
        cite(first.id, quote.replace(" ", "  ", 1)),
        cite(first.id, elsewhere),
        cite(first.id, ""),
        cite(first.id, f"{quote}."),
        cite(first.id, f"{quote}  "),
        cite(first.id, f"“{quote}”"),
        *(cite(first.id, title) for title in [first.attributes.get("title", "")] if title not in first.text),
        *(cite(passage.id, quote) for passage in others[:1]),
    ]
