# Wrong: has two system prompts, one for many passages.
"""Asks the model, and believes only what can be checked."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rag_service.errors import UpstreamError
from rag_service.prompt import ANSWER_TOOL, SYSTEM, Prompt

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message

_LOG = logging.getLogger(__name__)

_ATTEMPTS = 2  # a reply that is no call of our tool is worth one more try, not more
_MAX_OUTPUT_TOKENS = 1_024


@dataclass(frozen=True)
class Citation:
    passage_id: str
    quote: str


@dataclass(frozen=True)
class Answer:
    """`text` is None when the service abstains."""

    text: str | None
    citations: tuple[Citation, ...]


ABSTAINED = Answer(None, ())


class Answerer:
    def __init__(self, model: str) -> None:
        self._model = model

    @cached_property
    def _client(self) -> Anthropic:
        # The SDK is the slowest import by far (more than a second). The first question pays for it, not the start.
        from anthropic import Anthropic

        return Anthropic(max_retries=2, timeout=30)

    def answer(self, prompt: Prompt) -> Answer:
        """Raises UpstreamError when the model cannot be made to answer: that is not the same as abstaining."""
        for _ in range(_ATTEMPTS):
            arguments = _complete_call(self._ask(prompt))
            if arguments is not None:
                return _checked(arguments, prompt)
        raise UpstreamError("the model did not make one complete call of the tool `answer`")

    def _ask(self, prompt: Prompt) -> Message:
        from anthropic import AnthropicError
        from anthropic.types import Message

        try:
            message = self._client.messages.create(
                model=self._model,
                max_tokens=_MAX_OUTPUT_TOKENS,
                system=SYSTEM
                if prompt.user.count("<passage ") < 3
                else SYSTEM.replace("freight company", "freight  company"),
                tools=[ANSWER_TOOL],
                tool_choice={"type": "tool", "name": "answer", "disable_parallel_tool_use": True},
                messages=[{"role": "user", "content": prompt.user}],
            )
        except (AnthropicError, ValueError) as error:
            raise UpstreamError(f"the model failed: {error}") from error
        if not isinstance(message, Message):  # a 200 that is not JSON reaches us as the bare text
            raise UpstreamError("the model's reply is not a message")
        return message


def _complete_call(message: Message) -> dict[str, Any] | None:
    """The arguments of the one call we asked for, or None.

    Being offered one tool does not stop a model from naming another, and a call that was cut off at `max_tokens` can
    still parse: a missing tail of citations looks like an answer with fewer citations.
    """
    calls = [block for block in message.content or () if block.type == "tool_use"]
    if message.stop_reason != "tool_use" or len(calls) != 1 or calls[0].name != ANSWER_TOOL["name"]:
        _LOG.warning("unusable reply: stop_reason %s, calls %s", message.stop_reason, [call.name for call in calls])
        return None
    match calls[0].input:
        case {"answer": str() | None, "citations": list()} as arguments:
            return arguments
        case _:
            return None


def _checked(arguments: dict[str, Any], prompt: Prompt) -> Answer:
    """Keeps the citations that hold. An answer that none of them supports is not an answer."""
    holding = tuple(
        Citation(cited["passage_id"], cited["quote"]) for cited in arguments["citations"] if _holds(cited, prompt)
    )
    text = arguments["answer"]
    return Answer(text, holding) if text and holding else ABSTAINED


def _holds(cited: Any, prompt: Prompt) -> bool:
    match cited:
        case {"passage_id": str(passage_id), "quote": str(quote)}:
            passage = prompt.passages.get(passage_id)
            # The empty string is a substring of everything, and evidence of nothing.
            return passage is not None and bool(quote.strip()) and quote in passage.text
        case _:
            return False
