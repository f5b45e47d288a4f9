"""What is known of an exchange under way, and how it becomes a line of the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from grader.model.journal import Exchange, Journal, Request
from grader.model.prices import price_of
from grader.model.wires.wire import Answer, Wire

NOTHING = Answer()


@dataclass
class Record:
    """One exchange; `answer` is there once one is on its way to the program, `wire` where the path is one's."""

    journal: Journal
    blame_us: Callable[[str], None]
    request: Request
    wire: Wire | None = None
    step: str = ""
    status: int = 0
    error: str | None = None
    answer: Answer | None = None
    closed_early: bool = False
    conversation: str = ""
    attempt: int = 1
    label: str = ""
    first_byte_at: float | None = None
    discount: float = 1.0  # what is paid of the list price
    _written: bool = False

    def begins(self) -> None:
        """The first byte of the reply is about to be sent."""
        self.first_byte_at = time.monotonic()

    def write_down(self) -> None:
        """The exchange has ended: called just before the program can see that."""
        if self._written:
            return
        self._written = True
        if self.wire is not None:
            try:
                self.wire.settle(self.request, self.answer)
            except Exception as error:  # noqa: BLE001  a wire of ours is broken
                number, path = self.request.number, self.request.path
                self.blame_us(f"request {number} on {path}: {type(error).__name__}: {error}")
        if self.wire is None or self.wire.in_journal:
            self.journal.ended(self._exchange(self.answer or NOTHING))

    def _exchange(self, answer: Answer) -> Exchange:
        began, price = self.request.at, price_of(self.request.model)
        return Exchange(
            request=self.request,
            status=self.status,
            step=self.step,
            reply_text=answer.reply_text,
            thinking=answer.thinking,
            tool_calls=answer.tool_calls,
            stop=answer.stop,
            reply_id=answer.reply_id,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            reasoning_tokens=answer.reasoning_tokens,
            cache_read_tokens=answer.cache_read_tokens,
            cache_write_tokens=answer.cache_write_tokens,
            cache_write_1h_tokens=answer.cache_write_1h_tokens,
            seconds=time.monotonic() - began,
            first_byte_seconds=None if self.first_byte_at is None else self.first_byte_at - began,
            closed_early=self.closed_early,
            error=self.error,
            conversation=self.conversation,
            attempt=self.attempt,
            label=self.label,
            priced_as=price.family if answer.all_input_tokens or answer.output_tokens else "",
            cost_usd=self.discount
            * price.cost(
                fresh_input=answer.input_tokens,
                cache_read=answer.cache_read_tokens,
                cache_write=answer.cache_write_tokens,
                cache_write_1h=answer.cache_write_1h_tokens,
                output=answer.output_tokens,
            ),
        )
