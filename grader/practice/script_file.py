"""Reads model.toml, the open script of a lab: what the model says in practice, as steps with conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from grader.errors import GraderFault, UsageError
from grader.model import Cut, Disconnect, Fail, Garbage, Refuse, Reply, Request, Slow, Step, ToolCall, Turn, Unfaithful
from grader.model.script import Stop
from grader.strict_toml import Table, load

FORMAT = 1
CONDITIONS = ("user", "text", "system", "result", "pattern", "tool", "wire", "model", "turn")
ACTIONS = ("reply", "json", "calls", "refuse", "fail", "garbage", "disconnect")

Condition = Callable[[Request], bool]


@dataclass
class Rule:
    """One `[[steps]]` table; `left` counts how often it may still answer, None for ever."""

    conditions: tuple[Condition, ...]
    step: Step
    left: int | None = None

    def fits(self, request: Request) -> bool:
        return self.left != 0 and all(condition(request) for condition in self.conditions)


@dataclass
class ScriptFile:
    """The steps of a file; the first whose conditions all hold answers. Not thread-safe: one double asks it."""

    path: Path
    rules: list[Rule] = field(default_factory=list)

    def __call__(self, request: Request) -> Step | None:
        """The step for a request, or None."""
        for rule in self.rules:
            if rule.fits(request):
                if rule.left is not None:
                    rule.left -= 1
                return rule.step
        return None


def read_script(path: Path) -> ScriptFile:
    """Read a model.toml strictly: an unknown key, a wrong type or two actions in one step are errors.

    Raises:
        UsageError: the file is not there, or malformed.
    """
    if not path.is_file():
        raise UsageError(f"there is no script {str(path)!r}", mend="Name a model.toml.", slug="script-invalid")
    try:
        table = Table(load(path), path.name, "")
        form = table.take("format", int)
        if form != FORMAT:
            raise table.fault(f"format {form} is not known, this grader reads {FORMAT}")
        rules = [_rule(item) for item in table.tables("steps")]
        table.done()
    except GraderFault as fault:
        raise UsageError(
            fault.what, mend="docs/practice.md lists every condition and action.", slug="script-invalid"
        ) from fault
    return ScriptFile(path, rules)


def _rule(table: Table) -> Rule:
    when = table.table("when", required=False)
    conditions = tuple(_condition(when, name) for name in CONDITIONS if name in when.data)
    when.done()
    rule = Rule(conditions, _step(table), table.take("times", int) if "times" in table.data else None)
    if rule.left is not None and rule.left < 1:
        raise table.fault(f"`{table.path}times` must be at least 1")
    table.done()
    return rule


def _condition(when: Table, name: str) -> Condition:
    if name == "turn":
        turn = when.take(name, int)
        return lambda request: 1 + sum(message.role == "assistant" for message in request.messages) == turn
    wanted = when.take(name, str)
    if name == "pattern":
        try:
            found = re.compile(wanted)
        except re.error as error:
            raise when.fault(f"`{when.path}pattern` is no regular expression: {error}") from error
        return lambda request: bool(found.search(last_user(request)))
    if name == "tool":
        return lambda request: any(tool.name == wanted for tool in request.tools)
    if name == "wire":
        return lambda request: request.wire == wanted
    low, read = wanted.lower(), TEXTS[name]
    return lambda request: low in read(request).lower()


def _step(table: Table) -> Step:
    given = [name for name in ACTIONS if name in table.data]
    if len(given) != 1 and given != ["reply", "calls"]:
        said = ", ".join(given) or "none"
        raise table.fault(f"`{table.path[:-1]}` needs one of {', '.join(ACTIONS)} (or reply with calls), it has {said}")
    step = _reply(table) if given[0] in ("reply", "json", "calls") else _trouble(table, given[0])
    if "cut_after" in table.data:
        step = Cut(step, table.take("cut_after", int))
    if "seconds" in table.data:
        kind = float if isinstance(table.data["seconds"], float) else int
        step = Slow(step, float(table.take("seconds", kind)))
    return step


def _reply(table: Table) -> Step:
    stop = table.choice("stop", get_args(Stop)) if "stop" in table.data else None
    parts: list[Reply | ToolCall] = []
    if "reply" in table.data:
        parts.append(Reply(table.take("reply", str)))
    if "json" in table.data:
        parts.append(Reply(json.dumps(table.take("json", dict), ensure_ascii=False)))
    if "calls" in table.data:
        parts += [_call(item) for item in table.tables("calls")]
    # What a learner writes into an example is theirs to decide: the double does not hold it against anybody.
    return Unfaithful(Turn(*parts, stop=stop))  # type: ignore[arg-type]  # `choice` has checked it


def _call(table: Table) -> ToolCall:
    arguments: dict[str, Any] = table.take("arguments", dict) if "arguments" in table.data else {}
    call = ToolCall(table.take("name", str), arguments)
    table.done()
    return call


def _trouble(table: Table, action: str) -> Step:
    match action:
        case "refuse":
            return Refuse(table.take(action, str))
        case "fail":
            return Fail(table.take(action, int))
        case "garbage":
            return Garbage(table.take(action, str).encode())
        case _:
            if not table.take(action, bool):
                raise table.fault(f"`{table.path}{action}` is true or left out")
            return Disconnect()


def last_user(request: Request) -> str:
    """What the last message of the user says."""
    return next((message.text for message in reversed(request.messages) if message.role == "user"), "")


def _last_results(request: Request) -> str:
    """The results of tools that end the history, on either vendor's wire."""
    found: list[str] = []
    for message in reversed(request.messages):
        if message.role == "assistant":
            break
        found += [block.text for block in message.blocks if block.kind == "tool_result"]
    return "\n".join(found)


# Conditions that look for words, and where.
TEXTS: dict[str, Callable[[Request], str]] = {
    "user": last_user,
    "text": lambda request: request.text,
    "system": lambda request: request.system,
    "result": _last_results,
    "model": lambda request: request.model,
}
