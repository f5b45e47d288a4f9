"""Shows what a program said to the model: all of it, one check's, the last, two side by side, or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grader.errors import UsageError
from grader.model.journal import Exchange
from grader.report import wire_json
from grader.report.wire_diff import diff_lines
from grader.report.wire_view import exchange_lines, paint, total_line

Numbered = Sequence[tuple[int, Exchange]]


@dataclass(frozen=True)
class Choice:
    """What of a recording is wanted.

    Attributes:
        check: only exchanges of this check, or None.
        last: only the last exchange (of the check).
        diff: numbers of two exchanges to compare, or None.
    """

    check: str | None = None
    last: bool = False
    diff: tuple[int, int] | None = None


def show(
    lab: str,
    recorded: Sequence[Exchange],
    choice: Choice,
    *,
    as_json: bool = False,
    width: int = 100,
    colour: bool = False,
) -> str:
    """The recorded exchanges as text or JSON; each keeps its number, whatever is left out.

    Raises:
        UsageError: nothing was recorded that fits the choice.
    """
    numbered = list(enumerate(recorded, start=1))
    if choice.diff:
        (old, before), (new, after) = (_by_number(numbered, number) for number in choice.diff)
        if as_json:
            return wire_json.render(lab, [(old, before), (new, after)])
        return paint(diff_lines(before, after, (f"#{old}", f"#{new}")), width=width, colour=colour)
    chosen = _of_check(numbered, choice.check)
    if choice.last:
        chosen = chosen[-1:]
    if as_json:
        return wire_json.render(lab, chosen)
    return "\n".join(_section(check, part, width, colour) for check, part in _by_check(chosen))


def _section(check: str, part: Numbered, width: int, colour: bool) -> str:
    head = f"{check}\n{'=' * len(check)}\n" if check else ""
    lines = [line for number, exchange in part for line in (*exchange_lines(exchange, number), ("", ""))]
    return head + paint([*lines, total_line([exchange for _, exchange in part])], width=width, colour=colour)


def _of_check(numbered: Numbered, check: str | None) -> Numbered:
    chosen = [item for item in numbered if check in (None, item[1].label)]
    if not chosen:
        names = ", ".join(dict.fromkeys(exchange.label for _, exchange in numbered if exchange.label))
        raise UsageError(
            f"nothing was recorded for {check!r} in the last run" if check else "the last run called no model",
            mend=f"Recorded: {names or 'nothing'}.",
            slug="no-wire",
        )
    return chosen


def _by_number(numbered: Numbered, number: int) -> tuple[int, Exchange]:
    if not 1 <= number <= len(numbered):
        raise UsageError(
            f"there is no exchange #{number} in the last run",
            mend=f"It has {len(numbered)}; `grader wire` shows each with its number." if numbered else "It has none.",
            slug="no-wire",
        )
    return numbered[number - 1]


def _by_check(chosen: Numbered) -> list[tuple[str, Numbered]]:
    parts: dict[str, list[tuple[int, Exchange]]] = {}
    for number, exchange in chosen:
        parts.setdefault(exchange.label, []).append((number, exchange))
    return list(parts.items())
