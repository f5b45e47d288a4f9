"""The pytest plugin of a checking session: plans the checks, gives them their fixtures, turns each into one verdict."""

from __future__ import annotations

import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from grader.checking.expect import CheckMark, Mismatch, notes
from grader.checking.program import ProgramCrashed, ProgramTimeout
from grader.checking.stage import Stage, Theatre
from grader.errors import GraderError, GraderFault, LearnerError, UsageError
from grader.session.events import Channel, Planned, SessionSpec
from grader.verdict import CheckResult, Failure, PlannedCheck, Verdict

SETUP_SECONDS = 90.0  # starting programs and servers has deadlines of its own, all shorter


class Deadline(BaseException):
    """A check used up its time; a BaseException, so that no `except Exception` in a check swallows it."""


class CheckingSession:
    """Runs one plan of checks and reports every event on the channel."""

    def __init__(self, spec: SessionSpec, channel: Channel, theatre: Theatre) -> None:
        self.spec = spec
        self.channel = channel
        self.theatre = theatre
        self.verdicts: dict[str, Verdict] = {}
        self.began = time.monotonic()
        self.fault: GraderError | None = None
        self._error: BaseException | None = None

    # --- plan -------------------------------------------------------------------------------------------------------

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the checks, leave out what `--only` did not ask for, and announce the plan."""
        try:
            if self.fault:
                raise self.fault
            self._plan(items)
        except GraderError as fault:
            self.fault = fault
            pytest.exit(fault.what)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A checks file that cannot be imported is our fault, and named."""
        if report.failed and self.fault is None:
            self.fault = _invalid(
                f"{report.nodeid or 'the checks'} cannot be collected:\n{report.longreprtext[-3000:]}"
            )

    def _plan(self, items: list[pytest.Item]) -> None:
        plan = {item.name: _planned(item) for item in items}
        if len(plan) != len(items):
            raise _invalid("two checks have the same name")
        for planned in plan.values():
            self._validate(planned, plan)
        ordered = _in_order(plan, self.spec.tasks)
        if self.spec.only:
            wanted = _with_prerequisites(self.spec.only, plan)
            if not wanted:
                raise UsageError(
                    f"no check and no task is called {' or '.join(map(repr, self.spec.only))}",
                    mend=f"Tasks: {', '.join(self.spec.tasks)}. Checks: {', '.join(plan)}.",
                    slug="unknown-check",
                )
            ordered = [name for name in ordered if name in wanted]
        by_name = {item.name: item for item in items}
        items[:] = [by_name[name] for name in ordered]
        all_checks = Counter(planned.task for planned in plan.values())
        self.channel.planned(Planned(tuple(plan[name] for name in ordered), dict(all_checks)))

    def _validate(self, planned: PlannedCheck, plan: Mapping[str, PlannedCheck]) -> None:
        if not planned.title:
            raise _invalid(f"the check {planned.name!r} has no docstring: it is the line that the learner reads")
        if planned.task not in self.spec.tasks:
            raise _invalid(f"the check {planned.name!r} names the task {planned.task!r}, which lab.toml does not have")
        if unknown := set(planned.after) - plan.keys():
            raise _invalid(f"the check {planned.name!r} comes after unknown checks: {', '.join(sorted(unknown))}")

    # --- run --------------------------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run one check, or say why it is not run; exactly one verdict either way."""
        planned = _planned(item)
        if reason := self._blocked_by(planned):
            self._report(CheckResult(planned, Verdict.BLOCKED, failure=reason), item)
            item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001 - pytest has no public way
            return True
        self.channel.started(planned.name)
        self._error = None
        token = notes.set([])
        # Before the fixtures: those are where a check takes the shared program and where it starts others.
        self.theatre.begin(item.name)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        # The check itself: starting a program is no part of it, unless that is where it ended.
        seconds = next((report.duration for report in reports if report.when == "call"), reports[0].duration)
        kept = tuple(notes.get())
        notes.reset(token)
        verdict, failure = self._judge(reports)
        if fault := self.theatre.double_fault():
            # Whatever the check saw, it may have been our own double that was wrong.
            verdict, failure = judge(fault)
        if over := self.theatre.over_limit():
            verdict, failure = judge(over)
        elif verdict is not Verdict.PASSED and (lost := self.theatre.look_around()):
            # A program without its database, its starter or its disk fails whatever it does.
            verdict, failure = judge(lost)
        if failure and not failure.detail and verdict in (Verdict.FAILED, Verdict.TIMED_OUT):
            failure = replace(failure, detail=self.theatre.printed())
        if verdict in (Verdict.TIMED_OUT, Verdict.CRASHED):
            self.theatre.after_hang()
        self._report(CheckResult(planned, verdict, seconds, failure, kept), item)
        return True

    def _blocked_by(self, planned: PlannedCheck) -> Failure | None:
        if lost := self.theatre.lost:
            return Failure(f"not run: {lost.what}", hint=lost.mend)
        for name in planned.after:
            if self.verdicts.get(name) is not Verdict.PASSED:
                return Failure(f"not run: `{name}` must pass first")
        if crash := self.theatre.start_failure:
            return Failure(f"not run: {crash.message}", hint="Mend the check above that says why it does not start.")
        if time.monotonic() - self.began > self.spec.seconds:
            return Failure(
                f"not run: the lab's {self.spec.seconds} seconds are used up",
                hint="The checks above show which requests were slow.",
            )
        return None

    def _judge(self, reports: list[pytest.TestReport]) -> tuple[Verdict, Failure | None]:
        error = self._error
        if error is None:
            if all(report.passed for report in reports) and {report.when for report in reports} >= {"setup", "call"}:
                return Verdict.PASSED, None
            return Verdict.GRADER_ERROR, Failure("the check ended without a verdict", detail=_texts(reports))
        return judge(error)

    def _report(self, result: CheckResult, item: pytest.Item) -> None:
        self.verdicts[item.name] = result.verdict
        self.channel.verdict(result)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
        """Keep the first error of a check: set-up before call before teardown."""
        if call.excinfo is not None and self._error is None:
            self._error = call.excinfo.value
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        """Bound the fixtures of a check."""
        with _deadline(SETUP_SECONDS):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Bound the check itself, then ask whether anything is left to find: on the wire, or of the script."""
        mark: CheckMark = item.obj.__check__  # type: ignore[attr-defined]
        with _deadline(mark.seconds or self.spec.seconds_per_check):
            result = yield
            self.theatre.expect_settled()
            return result

    # --- fixtures ---------------------------------------------------------------------------------------------------

    @pytest.fixture(scope="session")
    def starting_database(self) -> str:
        """SQL for what every database of the run holds when its program starts; a lab's conftest.py may override it."""
        return ""

    @pytest.fixture(scope="session")
    def starting_environment(self) -> Mapping[str, str]:
        """Variables that every program of the run gets beside lab.toml's; a lab's conftest.py may override it."""
        return {}

    @pytest.fixture(scope="session")
    def _furnished(self, starting_database: str, starting_environment: Mapping[str, str]) -> None:
        self.theatre.starting_database = starting_database
        self.theatre.starting_environment = starting_environment

    @pytest.fixture
    def stage(self, _furnished: None) -> Stage:
        """The run's one warm program with its database and double, shared by all checks that ask for it."""
        return self.theatre.shared()

    @pytest.fixture(scope="session")
    def shared_stage(self, _furnished: None) -> Callable[..., Stage]:
        """The warm stage, or one more with other variables, that all checks share; asked for each time it is used."""
        return self.theatre.shared

    @pytest.fixture
    def fresh_stage(self, _furnished: None) -> Iterator[Callable[..., Stage]]:
        """Makes stages of the check's own: program, database, double."""
        with ExitStack() as stack:
            yield lambda environment=None: stack.enter_context(self.theatre.fresh(environment))

    @pytest.fixture(scope="session")
    def seed(self) -> int:
        """The run's seed, printed in every report."""
        return self.spec.seed

    @pytest.fixture
    def rng(self, request: pytest.FixtureRequest) -> random.Random:
        """Random inputs of this check: the same for the same seed, whatever other checks draw."""
        return random.Random(f"{self.spec.seed}:{request.node.name}")  # noqa: S311 - inputs, not secrets


def judge(error: BaseException) -> tuple[Verdict, Failure]:  # noqa: PLR0911 - a table, one line per kind
    """The verdict that an exception from a check means, and what to say about it."""
    match error:
        case Mismatch():
            return Verdict.FAILED, Failure(error.message, error.expected, error.observed, error.hint)
        case ProgramTimeout():
            return Verdict.TIMED_OUT, Failure(error.message, hint=error.hint, detail=error.detail)
        case ProgramCrashed():
            return Verdict.CRASHED, Failure(error.message, hint=error.hint, detail=error.detail)
        case Deadline():
            waiting = "".join(f", waiting for {asked}" for asked in getattr(error, "__notes__", ())[:1])
            return Verdict.TIMED_OUT, Failure(
                f"the check was not through after {error.args[0]:g} seconds{waiting}",
                hint="Some request took too long; the journal (`grader wire`) shows which calls were made.",
            )
        case LearnerError():
            return Verdict.FAILED, Failure(error.what, hint=error.mend)
        case GraderError():
            return Verdict.GRADER_ERROR, Failure(error.what, hint=f"{error.mend} (docs/errors.md#{error.slug})")
        case _:
            return Verdict.GRADER_ERROR, Failure(
                f"the check itself broke: {type(error).__name__}: {error}",
                hint="This is the grader's fault and costs no points: please report it.",
                detail="".join(traceback.format_exception(error)[-12:]),
            )


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Deadline(seconds)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _planned(item: pytest.Item) -> PlannedCheck:
    mark: CheckMark = item.obj.__check__  # type: ignore[attr-defined]
    title = " ".join((item.obj.__doc__ or "").split())  # type: ignore[attr-defined]
    return PlannedCheck(item.name, title, mark.task, mark.after)


def _in_order(plan: Mapping[str, PlannedCheck], tasks: tuple[str, ...]) -> list[str]:
    """Names in the order of the lab's tasks, then of the files; each behind those that it comes after."""
    ordered: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in visiting:
            raise _invalid(f"the check {name!r} comes after itself")
        visiting.add(name)
        for earlier in plan[name].after:
            visit(earlier)
        ordered.append(name)

    for name in sorted(plan, key=lambda name: tasks.index(plan[name].task)):
        visit(name)
    return ordered


def _with_prerequisites(only: tuple[str, ...], plan: Mapping[str, PlannedCheck]) -> set[str]:
    wanted: set[str] = set()
    queue = [name for name, planned in plan.items() if name in only or planned.task in only]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue.extend(plan[name].after)
    return wanted


def _texts(reports: list[pytest.TestReport]) -> str:
    return "\n".join(report.longreprtext for report in reports if report.longreprtext)


def _invalid(what: str) -> GraderFault:
    return GraderFault(what, mend="docs/writing-a-lab.md says how checks are written.", slug="checks-invalid")
