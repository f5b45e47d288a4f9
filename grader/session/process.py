"""A checking session's own process: `python -I -m grader.session.process SPEC.json`.

It runs the hidden checks with pytest under our ini, and writes events to its standard output; whatever prints there
goes to standard error, which is the session's log. Learner code never runs here.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from grader.errors import GraderError, UsageError
from grader.session.events import Channel, SessionSpec
from grader.verdict import Failure

STOP_SECONDS = 1.5
INI = Path(__file__).with_name("checks.ini")


def main(argv: list[str]) -> int:
    """Run one session; 0 when it came to its end, whatever the verdicts are."""
    _end_with_parent()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    spec = SessionSpec.read(Path(argv[0]))
    channel = Channel(os.dup(1))
    os.dup2(2, 1)  # nobody but the channel writes events
    try:
        return _run(spec, channel)
    except GraderError as error:
        channel.broken(Failure(error.what, hint=error.mend), error.slug, usage=isinstance(error, UsageError))
    except KeyboardInterrupt:
        return 130
    finally:
        channel.close()
    return 1


def _run(spec: SessionSpec, channel: Channel) -> int:
    # Here, not above: a session that is told to stop while libraries load must already know how to.
    import pytest  # noqa: PLC0415

    from grader.checking.program import Recipe, base_environment  # noqa: PLC0415
    from grader.checking.stage import Theatre  # noqa: PLC0415
    from grader.model.recording import recorded_to  # noqa: PLC0415
    from grader.sandbox import Launcher, Level, Limits  # noqa: PLC0415
    from grader.sandbox.launcher import Warden  # noqa: PLC0415
    from grader.session.plugin import CheckingSession  # noqa: PLC0415

    with ExitStack() as stack:
        recorder = None
        with suppress(OSError):  # as a disk that fills up later: it costs the recording and not the run
            recorder = stack.enter_context(recorded_to(Path(spec.wire_file))) if spec.wire_file else None
        scratch = Path(spec.scratch)
        warden = spec.warden or stack.enter_context(Warden(scratch.parent, spec.warm)).path
        launcher = Launcher(warden, level=Level(spec.level), hidden=[Path(spec.checks)])
        stack.callback(launcher.close)
        recipe = Recipe(
            argv=spec.argv,
            folder=Path(spec.submission),
            environment={**base_environment(scratch), **spec.environment},
            limits=Limits(memory_mb=spec.memory_mb, output_kb=spec.output_kb),
            ready=spec.ready,
            ready_seconds=spec.ready_seconds,
        )
        theatre = Theatre(
            launcher,
            recipe,
            speaks=spec.speaks,
            wires=spec.wires,
            postgres=spec.postgres,
            postgres_settings=spec.postgres_settings,
            postgres_mb=spec.postgres_mb,
            # Less than a check's own deadline: the message that names the request is the better one.
            seconds=spec.seconds_per_check * 0.75,
            purpose=f"check {spec.lab}",
            listen=recorder.hear if recorder else None,
        )
        stack.callback(theatre.close)
        session = CheckingSession(spec, channel, theatre)
        code = pytest.main(["-c", str(INI), "--rootdir", spec.checks, spec.checks], plugins=[session])
    if session.fault:
        raise session.fault
    return int(code not in (0, 1, 5))


def _end_with_parent() -> None:
    """Stop cleanly on SIGTERM, and get one when the grader that started us dies, however it dies.

    Its standard input is a pipe that only the grader holds open.
    What is not closed in time ends with the process: the warden kills the programs, the next run drops the databases.
    """

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        faulthandler.dump_traceback_later(STOP_SECONDS, exit=True)  # whatever the interpreter is stuck in
        raise KeyboardInterrupt

    def watch() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, name="watch", daemon=True).start()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
