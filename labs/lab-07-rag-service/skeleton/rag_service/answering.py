"""Asks the model, and believes only what can be checked."""

from __future__ import annotations

from dataclasses import dataclass

from rag_service.prompt import Prompt


@dataclass(frozen=True)
class Citation:
    passage_id: str
    quote: str


@dataclass(frozen=True)
class Answer:
    """`text` is None when the service abstains."""

    text: str | None
    citations: tuple[Citation, ...]


class Answerer:
    def __init__(self, model: str) -> None:
        self._model = model

    def answer(self, prompt: Prompt) -> Answer:
        """Raises UpstreamError when the model cannot be made to answer: that is not the same as abstaining."""
        raise NotImplementedError("lab-07, task answers: force the tool `answer` and check what comes back")
