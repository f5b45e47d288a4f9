"""The report on a terminal: a line per check while it runs, then what failed and why, points, and what to do next."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console
from rich.text import Text

from grader.report.inert import inert, quoted
from grader.score import shown
from grader.session.events import Ended, Event, Planned, Started
from grader.verdict import CheckResult, Verdict

if TYPE_CHECKING:
    from grader.report.run_record import CutShort
    from grader.run import LabResult
    from grader.sandbox.levels import Isolation

_SIGNS = {
    Verdict.PASSED: ("✓", "green", ""),
    Verdict.FAILED: ("✗", "red", ""),
    Verdict.CRASHED: ("✗", "red", "crashed"),
    Verdict.TIMED_OUT: ("✗", "red", "timed out"),
    Verdict.BLOCKED: ("-", "yellow", "blocked"),
    Verdict.GRADER_ERROR: ("!", "magenta", "not graded"),
}


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Whoever reads us has gone (`grader check | head`): the command ends as any other that is cut off."""
        raise BrokenPipeError


class TerminalReport:
    """Prints one run as it happens and sums it up; colours and the live line only where the output is a terminal."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or _Console(highlight=False, markup=False, emoji=False, soft_wrap=True, quiet=quiet)
        self._titles: dict[str, str] = {}
        self._live = not quiet and self.console.is_terminal and not self.console.is_dumb_terminal

    def begin(self, lab: str, title: str, label: str, seed: int, isolation: Isolation) -> None:
        """The head line, before anything has started."""
        self.console.print(Text.assemble((lab, "bold"), "  ", title, "  ", (f"({label})", "dim")))
        self.console.print(Text(f"seed {seed} · isolation {isolation.level.label}", "dim"))
        if isolation.reason:
            self.console.print(Text(f"  {inert(isolation.reason)}", "dim"))
        if isolation.mend:
            self.console.print(Text(f"  stronger with: {isolation.mend}", "dim"))

    def cut_short(self, before: CutShort) -> None:
        """The run before was killed: how far it had come, and where that is kept."""
        done = f"{before.graded} of {before.planned} checks" if before.planned else "its start, with nothing planned"
        self.console.print(
            Text(
                f"the run before was killed after {done} ({before.passed} passed, seed {before.seed}); "
                f"its verdicts: {before.path}",
                "dim",
            )
        )

    def listen(self, event: Event) -> None:
        """One event of the session."""
        match event:
            case Planned(checks=checks):
                self._titles = {check.name: check.title for check in checks}
                self.console.print(Text(f"{len(checks)} checks\n", "dim"))
            case Started(name) if self._live:
                self.console.print(self._fit(f"  · {self._titles.get(name, name)}"), end="\r", style="dim")
            case Ended(result):
                self._clear()
                self._line(result)
            case _:
                pass

    def _line(self, result: CheckResult) -> None:
        sign, colour, word = _SIGNS[result.verdict]
        line = Text.assemble("  ", (sign, colour), " ", inert(result.check.title))
        if word:
            line.append(f"  {word}", colour)
        if result.verdict is not Verdict.BLOCKED:
            line.append(f"  {result.seconds:.1f} s", "dim")
        self.console.print(line)
        for remark in result.notes:
            self.console.print(Text(f"      {inert(remark)}", "dim"))

    def _clear(self) -> None:
        if self._live:
            self.console.file.write("\x1b[2K\r")

    def _fit(self, line: str) -> str:
        return line[: max(20, self.console.width - 1)]

    def end(self, result: LabResult, next_step: str) -> None:
        """What failed, the points, how the run can be repeated, and what to do next."""
        self._failures(result)
        self._points(result)
        self.console.print(Text(f"\n{self._totals(result)}", "bold"))
        for line in self._small_print(result):
            self.console.print(Text(line, "dim"))
        self.console.print(f"\n{next_step}")

    def _failures(self, result: LabResult) -> None:
        shown = [item for item in result.checks if item.failure and item.verdict is not Verdict.BLOCKED]
        for item in shown:
            failure = item.failure
            assert failure is not None
            sign, colour, _ = _SIGNS[item.verdict]
            self.console.print(
                Text.assemble(
                    "\n", (sign, colour), " ", (inert(item.check.title), "bold"), (f"  [{item.check.name}]", "dim")
                )
            )
            self._block("", inert(failure.message))
            self._block("expected  ", inert(failure.expected))
            self._block("observed  ", inert(failure.observed))
            self._block("likely    ", inert(failure.hint))
            if failure.detail:
                owner = "the check" if item.verdict is Verdict.GRADER_ERROR else "the program"
                self.console.print(Text(f"    the end of what {owner} printed:", "dim"))
                self.console.print(Text(textwrap.indent(quoted(failure.detail), "    "), "dim"))

    def _block(self, label: str, text: str) -> None:
        if text:
            width = max(40, min(self.console.width, 120))
            indent = " " * (4 + len(label))
            # Two spaces may be the very difference: hard spaces keep a line from being broken there, which eats them.
            hard = re.sub(" {2,}", lambda spaces: "\N{NO-BREAK SPACE}" * len(spaces[0]), text)
            wrapped = [
                textwrap.fill(part, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
                for part in hard.split("\n")
            ]
            body = "\n".join(wrapped).replace("\N{NO-BREAK SPACE}", " ")
            self.console.print(Text.assemble("    ", (label, "cyan"), body[len(indent) :]))

    def _points(self, result: LabResult) -> None:
        self.console.print()
        for task in result.score.tasks:
            colour = "green" if task.passed == task.checks else "red" if task.passed == 0 else "yellow"
            left_out = task.all_checks - task.checks
            self.console.print(
                Text.assemble(
                    "  ",
                    (f"{shown(task.earned):>5} of {task.points:<3}", colour),
                    f" {task.id:<12} {task.title}  ",
                    (f"{task.passed}/{task.checks} checks{f', {left_out} not run' if left_out else ''}", "dim"),
                )
            )

    def _totals(self, result: LabResult) -> str:
        passed = sum(item.verdict is Verdict.PASSED for item in result.checks)
        points = f"{result.score.shown} of {result.score.possible} points"
        return f"{points} · {passed} of {len(result.checks)} checks passed · {result.seconds:.0f} s"

    def _small_print(self, result: LabResult) -> list[str]:
        lines = [f"same inputs again: {result.again}"]
        if any(item.verdict is Verdict.GRADER_ERROR for item in result.checks):
            lines.append("What could not be graded (!) is not held against you: docs/errors.md")
        if result.kept:
            lines.append(f"kept: {result.kept}")
        return lines
