"""When a run has to stop, found from what is stored of it: the same before and after a crash."""

from __future__ import annotations

from collections import Counter

from assistant.replies import Call, Run, Step
from assistant.settings import Settings

INVALID = ("unknown_tool", "invalid_arguments")


def used_up(settings: Settings, run: Run, last: Step, invalid_now: int) -> str | None:
    """The budget that forbids another model call after this reply, which asks for tools.

    Args:
        invalid_now: how many calls of the last reply are invalid.
    """
    if len(run.steps) >= settings.max_steps:
        return "max_steps"
    if sum(step.reply.tokens for step in run.steps) >= settings.max_tokens:
        return "max_tokens"
    before = [r for s in run.steps if s.position != last.position for r in s.results if r and r.error in INVALID]
    if len(before) + invalid_now >= settings.max_invalid:
        return "invalid_calls"
    if _most_repeated(run, last) >= settings.max_identical:
        return "identical_calls"
    return None


def _most_repeated(run: Run, last: Step) -> int:
    """How often the run has asked for what the last reply asks for, that included."""
    counts = Counter(_key(call) for step in run.steps for call in step.reply.calls)
    return max((counts[_key(call)] for call in last.reply.calls), default=0)


def _key(call: Call) -> tuple[str, str]:
    """Equal as JSON: the order of keys and white space do not matter."""
    return call.name, call.arguments
