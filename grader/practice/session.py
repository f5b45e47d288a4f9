"""One practice session: database and double are up, what passes over the wire is shown, until somebody stops it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import NoReturn

from grader.errors import EnvironmentFault
from grader.lab import Lab
from grader.model import Exchange, ModelDouble
from grader.model.recording import recorded_to
from grader.practice.environment import environment_of, export_lines, kept_environment
from grader.recordings import keep, place_for
from grader.report.wire_view import exchange_lines, paint, total_line

Say = Callable[[str], None]
Furnish = Callable[[ModelDouble, ExitStack], str]
FIRST_PORT = 8400  # and the lab's number: the same every time, so that an exported environment stays right


def practise(lab: Lab, furnish: Furnish, say: Say, *, width: int, colour: bool) -> None:
    """Run until SIGINT or SIGTERM.

    Args:
        furnish: gives the double what answers, and says in words what that is.
        say: prints text.

    Raises:
        GraderError: a service does not start, or a session of this lab is running already.
    """
    heard: SimpleQueue[Exchange] = SimpleQueue()
    seen: list[Exchange] = []
    with ExitStack() as stack, _stoppable():
        double, who = _double(lab, furnish, stack)
        double.journal.listen(heard.put)
        environment = environment_of(lab, double, stack.enter_context(_database(lab)))
        path = stack.enter_context(kept_environment(lab, environment))
        _record(lab, double, stack)
        say(_welcome(lab, environment, path, who))
        try:
            while True:
                exchange = heard.get()
                seen.append(exchange)
                lines = [*exchange_lines(exchange, exchange.request.number), *_faults(double), ("", "")]
                say(paint(lines, width=width, colour=colour))
        except KeyboardInterrupt:
            say("\nstopped\n")
    say(paint([total_line(seen)], width=width, colour=colour))
    if seen:
        say(f"again, and compared: grader wire {lab.name}\n")


def _double(lab: Lab, furnish: Furnish, stack: ExitStack) -> tuple[ModelDouble, str]:
    """A double at the lab's own port; at another when that is taken."""
    for port in (FIRST_PORT + lab.number, 0):
        double = ModelDouble(port=port)
        try:
            stack.enter_context(double)
        except EnvironmentFault:
            if port == 0:
                raise
            continue
        double.batches.finish_after(2)  # in practice no check says when a batch ends
        return double, furnish(double, stack)
    raise AssertionError("a double that may choose its port starts or raises")


@contextmanager
def _database(lab: Lab) -> Iterator[str]:
    """The address of the learner's own database, held up for the block; "" for a lab without one."""
    if not lab.services.postgres:
        yield ""
        return
    from grader.services import postgres  # noqa: PLC0415 - labs without a database never load psycopg

    with postgres.lease(f"practice {lab.name}"):
        yield postgres.url()


def _record(lab: Lab, double: ModelDouble, stack: ExitStack) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="grader-")))
    path = place_for(lab, otherwise=folder)
    stack.callback(keep, path, lab)
    double.journal.listen(stack.enter_context(recorded_to(path)).hear)


def _faults(double: ModelDouble) -> list[tuple[str, str]]:
    return [(f"  the model's script: {fault}", "red") for fault in double.protocol_faults[-1:]]


def _welcome(lab: Lab, environment: dict[str, str], path: Path, who: str) -> str:
    return (
        f"{lab.name}  {lab.title}  (practice: nothing is graded)\n"
        f"the model: {who}\n\n"
        f"{export_lines(environment)}\n"
        f'in another terminal: eval "$(grader up {lab.name} --export)"   or: set -a; . {path}; set +a\n'
        "what passes over the wire is shown here; Ctrl-C stops\n\n"
    )


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and Ctrl-C stop; the latter also where a shell has started us in its background, deaf to it."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
