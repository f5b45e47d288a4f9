"""Reads what the model was sent as a conversation: who said what, which calls were asked for, what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grader.checking import Block, Mismatch, Request, expect, expect_equal

TOOLS = ("find_shipments", "get_shipment", "get_events", "list_invoices", "book_pickup", "issue_credit")
Said = tuple[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The result of one call, as the model reads it.

    Attributes:
        flagged: Anthropic's `is_error`; None on wires that have none.
    """

    text: str
    flagged: bool | None

    @property
    def value(self) -> Any:
        """The result as JSON.

        Raises:
            Mismatch: it is none.
        """
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise Mismatch("a tool result is not JSON", expected="JSON text", observed=self.text) from error

    @property
    def word(self) -> str | None:
        """The word of the error, None when it is none."""
        value = self.value
        return value["error"] if isinstance(value, dict) and isinstance(value.get("error"), str) else None

    @property
    def message(self) -> str:
        """The sentence of the error."""
        return str(self.value.get("message", ""))

    def expect(self, word: str | None, what: str) -> Outcome:
        """It is this error, with a sentence and flagged as one; None: it is no error."""
        expect(
            self.word == word,
            f"not as promised: the result of {what}",
            expected={"error": word} if word else "a result that is no error",
            observed=self.text,
        )
        if word:
            expect(len(self.message) > 5, f"the error of {what} says nothing", expected="a message", observed=self.text)
        if self.flagged is not None:
            expect_equal(self.flagged, word is not None, f"`is_error` of the result of {what}")
        return self


def outcomes(request: Request) -> dict[str, Outcome]:
    """The results in a request by the id of their call; where an id was answered more than once, the last of them."""
    return {
        block.id or "": Outcome(block.text, _flag(block))
        for message in request.messages
        for block in message.blocks
        if block.kind == "tool_result"
    }


def _flag(block: Block) -> bool | None:
    if isinstance(block.raw, dict) and block.raw.get("type") == "tool_result":
        return block.raw.get("is_error") is True
    return None


def said_in(request: Request) -> list[Said]:
    """The conversation in one line each: `("user", text)`, `("assistant", text)`, `("calls", ids)`, `("results", ids)`.

    Results of one turn may stand in any order: they are sorted.
    """
    found: list[Said] = []
    for message in request.messages:
        for block in message.blocks:
            match block.kind:
                case "text" if block.text:
                    found.append((message.role, block.text))
                case "tool_use":
                    _add(found, "calls", block.id)
                case "tool_result":
                    _add(found, "results", block.id)
    return [(kind, sorted(what) if kind == "results" else what) for kind, what in found]


def _add(found: list[Said], kind: str, name: str | None) -> None:
    if not found or found[-1][0] != kind:
        found.append((kind, []))
    found[-1][1].append(name)


def expect_said(request: Request, *expected: Said) -> None:
    """The request holds exactly this conversation."""
    wanted = [(kind, sorted(what) if kind == "results" else what) for kind, what in expected]
    observed = said_in(request)
    if observed == wanted:
        return
    at = next((n for n, pair in enumerate(zip(observed, wanted, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(observed), len(wanted)) if at is None else at
    raise Mismatch(
        f"the model was sent another conversation, from its part {at + 1} on",
        expected=wanted[at : at + 3] or "nothing more",
        observed=observed[at : at + 3] or "nothing more",
        hint="All of it goes on every call, in order: also messages, replies and results of runs that were stopped.",
    )


def expect_offer(request: Request) -> None:
    """All six tools are offered as the brief's table has them, and nothing is left to the vendor's memory."""
    kept = request.continues or request.body.get("thread")
    expect(
        not kept, "the conversation is left to the vendor's memory", expected="all of it in every call", observed=kept
    )
    expect_equal(sorted(tool.name for tool in request.tools), sorted(TOOLS), "the tools that the model is offered")
    by_name = {tool.name: tool.schema for tool in request.tools}
    for name, fields in _FIELDS.items():
        properties = by_name[name].get("properties", {})
        expect_equal(sorted(properties), sorted(fields), f"the arguments in the schema of {name}")
        text = json.dumps(by_name[name])
        missing = [word for word in _WORDS[name] if json.dumps(word) not in text]
        expect(not missing, f"the schema of {name} does not name {missing}", expected="the values of the table")
    expect(request.system.strip(), "there is no system prompt", expected="one, the same on every call")


_FIELDS: dict[str, list[str]] = {
    "find_shipments": ["status", "limit"],
    "get_shipment": ["shipment_id"],
    "get_events": ["shipment_id"],
    "list_invoices": ["status"],
    "book_pickup": ["shipment_id", "date", "window"],
    "issue_credit": ["invoice_id", "amount_cents", "reason"],
}
_WORDS: dict[str, list[str]] = {
    "find_shipments": ["booked", "in_transit", "customs_hold", "delivered", "cancelled"],
    "get_shipment": ["string"],
    "get_events": ["string"],
    "list_invoices": ["open", "paid", "disputed"],
    "book_pickup": ["morning", "afternoon"],
    "issue_credit": ["integer"],
}


def kinds_of(request: Request, role: str) -> list[list[str]]:
    """The types of the blocks of each message of this role, as Anthropic names them."""
    return [
        [str(block.raw.get("type")) if isinstance(block.raw, dict) else "text" for block in message.blocks]
        for message in request.messages
        if message.role == role
    ]


def one_prefix(requests: Iterable[Request]) -> Sequence[str]:
    """The different prefixes (system prompt and tools) among requests: one, if the brief is kept."""
    return sorted({request.prefix for request in requests})
