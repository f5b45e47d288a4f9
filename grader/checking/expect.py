"""The words that a check says: what it is, what it expected and what it saw instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

_SHOWN = 600  # characters of a value in a message
_Function = TypeVar("_Function", bound=Callable[..., None])
notes: ContextVar[list[str]] = ContextVar("notes")


@dataclass(frozen=True)
class CheckMark:
    """What `@check` leaves on a function, read by the plugin.

    Attributes:
        task: id of a task in lab.toml.
        after: names of checks that must pass first.
        seconds: the check's own deadline, or None for the lab's `seconds_per_check`.
    """

    task: str
    after: tuple[str, ...]
    seconds: float | None


class Mismatch(Exception):  # noqa: N818 - it is what the check found, not an error of the grader
    """The program did something else than its brief promises.

    Args:
        message: one line: what happened.
        expected: what the brief promises.
        observed: what was seen, with the value.
        hint: the likely mistake.
    """

    def __init__(self, message: str, *, expected: object = "", observed: object = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.expected = shown(expected)
        self.observed = shown(observed)
        self.hint = hint


def check(*, task: str, after: Sequence[str] = (), seconds: float | None = None) -> Callable[[_Function], _Function]:
    """Make a function a check: its docstring is the line the learner reads, its name what `--only` takes."""

    def mark(function: _Function) -> _Function:
        function.__check__ = CheckMark(task, tuple(after), seconds)  # type: ignore[attr-defined]  # read by the plugin
        function.__test__ = True  # type: ignore[attr-defined]  # pytest collects it, whatever its name
        return function

    return mark


def expect(condition: object, message: str, *, expected: object = "", observed: object = "", hint: str = "") -> None:
    """Raise Mismatch unless `condition` holds."""
    if not condition:
        raise Mismatch(message, expected=expected, observed=observed, hint=hint)


def expect_equal(observed: Any, expected: Any, what: str, *, hint: str = "") -> None:
    """Raise Mismatch unless both are equal and of the same JSON type: True is not 1, 1.0 is not 1."""
    if not _same(observed, expected):
        raise Mismatch(f"not as promised: {what}", expected=expected, observed=observed, hint=hint)


def note(text: str) -> None:
    """Show a line beside the check, whether it passes or not."""
    notes.get().append(text)


def shown(value: object) -> str:
    """A value as a message shows it: text as it is, other things as repr, cut in the middle."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 120]} … {text[-100:]} ({len(text):,} characters)"


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
