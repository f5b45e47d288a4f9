"""Command line of `grader`: what can be typed, and which function does it. Heavy modules are imported on use."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from grader import __version__
from grader.errors import EXIT_NOT_GRADED, EXIT_SIGNAL, GraderError, Interrupted

if TYPE_CHECKING:
    from grader.lab import Lab
    from grader.sandbox.levels import Level
    from grader.services.postgres import Status
    from grader.session.events import Event

_LAB_HELP = "lab-07, 7 or the folder's name; without it, the lab in whose work folder you stand"


def run_command(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code; never a bare traceback.

    Exit codes: 0 all passed, 1 not yet, 2 usage, 3 could not grade, 128 and the signal when interrupted.
    """
    if sys.platform == "win32":
        sys.stderr.write("grader needs Linux or macOS: on Windows, install WSL (`wsl --install`) and run it there.\n")
        return EXIT_NOT_GRADED
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except GraderError as error:
        sys.stdout.flush()
        sys.stderr.write(f"grader: {error}\n")
        return error.exit_code
    except KeyboardInterrupt as interrupt:
        number = interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT
        with suppress(OSError):  # the terminal may be gone: that is what SIGHUP says
            sys.stdout.flush()
            sys.stderr.write("\ngrader: interrupted; nothing is left running\n")
        return EXIT_SIGNAL + number
    except BrokenPipeError:  # `grader list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SIGNAL + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001 - the last stop: our own fault, told as such
        return _own_fault(error)


def build_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="grader",
        description="Checks the labs of this course by what your program does on the wire.",
        epilog="Start with: grader start lab-07 · grader check lab-07. Exit codes: 0 all passed, 1 not yet, "
        "2 usage, 3 could not grade.",
    )
    parser.add_argument("--version", action="version", version=f"grader {__version__}")
    parser.add_argument("--course", metavar="DIR", help="the checkout; default: the one around this folder")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    check = _add(commands, "check", "grade a lab", _check)
    _lab(check)
    check.add_argument("--reference", action="store_true", help="grade the reference answer instead of yours")
    check.add_argument("--path", metavar="DIR", help="grade the files in DIR instead of work/")
    check.add_argument("--seed", type=_seed, help="repeat the inputs of an earlier run (a whole number)")
    check.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="a check or a task, with what must pass before it"
    )
    check.add_argument("--json", metavar="FILE", help="also write the report as JSON; - for standard output alone")
    check.add_argument(
        "--require-isolation", metavar="LEVEL", type=_level, help="end with 3 rather than run at a weaker one"
    )
    check.add_argument("--isolation", metavar="LEVEL", type=_level, help="run at this level and no other")
    check.add_argument("--keep", action="store_true", help="keep the run's private folder and say where it is")

    _lab(_add(commands, "start", "copy a lab's skeleton to work/", _start))
    _lab(_add(commands, "reset", "put work/ back to the skeleton; keeps a backup", _reset))
    _lab(_add(commands, "diff", "show what you changed against the skeleton", _diff))
    _add(commands, "list", "show all labs", _list)
    _add(commands, "doctor", "look for what could stop a run on this machine", _doctor)

    wire = _add(commands, "wire", "show what your program said to the model in the last run", _wire)
    _lab(wire)
    wire.add_argument("--check", metavar="NAME", help="only this check's exchanges")
    wire.add_argument("--last", action="store_true", help="only the last exchange")
    wire.add_argument(
        "--diff", nargs=2, type=int, metavar=("A", "B"), help="what changed from exchange A to B, and what is cacheable"
    )
    wire.add_argument("--json", action="store_true", help="as JSON")

    up = _add(commands, "up", "start a lab's services for hands-on work and follow the wire", _up)
    _lab(up)
    up.add_argument("--export", action="store_true", help='print the running session\'s environment, for eval "$(…)"')
    up.add_argument("--script", metavar="FILE", help="what the model says; default: the lab's examples/model.toml")
    up.add_argument("--upstream", metavar="URL", help="let a provider or a local server answer, with your own key")
    up.add_argument(
        "--wire", choices=("anthropic", "openai", "openai-chat"), help="what the upstream speaks (openai-chat: no more)"
    )
    up.add_argument("--model", metavar="NAME", default="", help="ask the upstream for this model")
    up.add_argument("--record", metavar="FILE", help="where the upstream's replies are kept; default: under .grader/")
    up.add_argument("--replay", metavar="FILE", help="answer from such a file, offline; needs the same --wire")
    up.add_argument("--local-model", action="store_true", help="let a small model on this machine answer")

    verify = _add(commands, "verify", "prove that a lab's checks tell right programs from wrong ones", _verify)
    verify.add_argument("labs", nargs="*", metavar="LAB", help="default: every lab")
    verify.add_argument("--full", action="store_true", help="every program against every check")
    verify.add_argument("--stress", type=int, metavar="N", default=0, help="full, with N seeds; reports flakes")
    verify.add_argument("--seed", type=_seed, help="the (first) seed")
    verify.add_argument("--jobs", type=int, metavar="N", default=2, help="programs graded side by side (2)")

    database = _add(commands, "db", "the database that labs run on", _db)
    database.add_argument("action", choices=("up", "down", "status", "url"))
    database.add_argument("--force", action="store_true", help="down: stop it although runs are using it")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    command.set_defaults(run=run)
    return command


def _lab(command: argparse.ArgumentParser) -> None:
    command.add_argument("lab", nargs="?", metavar="LAB", help=_LAB_HELP)


def _level(name: str) -> Level:
    from grader.sandbox.levels import Level  # noqa: PLC0415 - as above

    try:
        return Level(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"levels are {', '.join(Level)}") from error


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"a seed is a whole number, 0 or more, of at most 18 digits, not {text!r}")
    return int(text)


def _root(arguments: argparse.Namespace) -> Path:
    from grader.lab import find_course  # noqa: PLC0415 - `--help` must not pay for it

    return find_course(Path(arguments.course or Path.cwd()).absolute(), named=bool(arguments.course))


def _find(arguments: argparse.Namespace) -> Lab:
    from grader.lab import find_lab  # noqa: PLC0415 - as above

    return find_lab(_root(arguments), arguments.lab, Path.cwd())


def _check(arguments: argparse.Namespace) -> int:
    from grader import run  # noqa: PLC0415 - as above
    from grader.report import json_file  # noqa: PLC0415 - as above
    from grader.report.next_step import next_step  # noqa: PLC0415 - as above
    from grader.report.run_record import RunRecord, find_cut_short  # noqa: PLC0415 - as above
    from grader.report.terminal import TerminalReport  # noqa: PLC0415 - as above
    from grader.sandbox.choose import choose  # noqa: PLC0415 - as above

    lab = _find(arguments)
    source, label = run.find_source(lab, reference=arguments.reference, path=arguments.path)
    seed = run.new_seed() if arguments.seed is None else arguments.seed
    isolation = choose(chosen=arguments.isolation, required=arguments.require_isolation)
    request = run.Request(
        lab, source, label, seed, only=tuple(arguments.only), keep=arguments.keep, isolation=isolation
    )
    report = TerminalReport(quiet=arguments.json == "-")
    report.begin(lab.name, lab.title, label, seed, isolation)
    if before := find_cut_short(lab):
        report.cut_short(before)
    with RunRecord(lab, label, seed) as record:

        def listen(event: Event) -> None:
            record.listen(event)
            report.listen(event)

        result = run.check_lab(request, listen)
        # Interrupted because the terminal was closed? The report to a file is not lost for that.
        with suppress(OSError) if result.interrupted else nullcontext():
            report.end(result, next_step(lab, result))
        if arguments.json:
            json_file.write(result, arguments.json)
    return result.exit_code


def _start(arguments: argparse.Namespace) -> int:
    from grader import workspace  # noqa: PLC0415 - as above

    lab = _find(arguments)
    folder = workspace.start(lab)
    _say(f"made {folder.relative_to(lab.root)}")
    _say(f"read {(lab.home / 'README.md').relative_to(lab.root)}, then: grader check {lab.name}")
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    from grader import workspace  # noqa: PLC0415 - as above

    lab = _find(arguments)
    backup = workspace.reset(lab)
    _say(f"work/{lab.folder} is the skeleton again; what was there is in {backup.relative_to(lab.root)}")
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from grader import workspace  # noqa: PLC0415 - as above

    sys.stdout.write(workspace.diff(_find(arguments)))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from grader.lab import list_folders, read_lab  # noqa: PLC0415 - as above

    root = _root(arguments)
    for folder in list_folders(root):
        lab = read_lab(root, folder)
        state = "started" if lab.work.is_dir() else ""
        line = f"{lab.name}  {lab.title:<44} {lab.stage:<10} {lab.difficulty:<7} {lab.minutes / 60:>4.0f} h  {state}"
        _say(line.rstrip())
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from grader.doctor import examine  # noqa: PLC0415 - as above

    findings = examine(_root(arguments))
    for finding in findings:
        _say(f"{'ok  ' if finding.good else 'FAIL'}  {finding.what}")
        if finding.mend:
            _say(f"      {finding.mend}")
    return 0 if all(finding.good for finding in findings) else EXIT_NOT_GRADED


def _wire(arguments: argparse.Namespace) -> int:
    from grader.recordings import read_last  # noqa: PLC0415 - as above
    from grader.report.wire import Choice, show  # noqa: PLC0415 - as above

    lab = _find(arguments)
    choice = Choice(arguments.check, last=arguments.last, diff=tuple(arguments.diff) if arguments.diff else None)
    width = shutil.get_terminal_size().columns
    sys.stdout.write(show(lab.name, read_last(lab), choice, as_json=arguments.json, width=width, colour=_coloured()))
    return 0


def _up(arguments: argparse.Namespace) -> int:
    from grader.practice.environment import export_lines, running_environment  # noqa: PLC0415 - as above

    lab = _find(arguments)
    if arguments.export:
        sys.stdout.write(export_lines(running_environment(lab)))
        return 0
    from grader.practice.choice import Options, what_answers  # noqa: PLC0415 - as above
    from grader.practice.session import practise  # noqa: PLC0415 - as above

    options = Options(**{name: getattr(arguments, name) for name in Options.__dataclass_fields__})
    practise(lab, what_answers(lab, options), _put, width=shutil.get_terminal_size().columns, colour=_coloured())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from grader.verify import Depth, verify  # noqa: PLC0415 - as above

    depth = Depth(full=arguments.full or arguments.stress > 0, seeds=max(1, arguments.stress))
    return verify(_root(arguments), arguments.labs, depth=depth, seed=arguments.seed, jobs=arguments.jobs, say=_say)


def _db(arguments: argparse.Namespace) -> int:
    from grader.services import postgres  # noqa: PLC0415 - as above

    match arguments.action:
        case "up":
            _say(f"{_described(postgres.up())}; it stays until `grader db down`")
        case "down":
            stopped = postgres.down(force=arguments.force)
            _say("stopped" if stopped.stopped else f"not stopped: {stopped.why}")
            for lease in stopped.leases:
                _say(f"  in use by {lease}")
            return 0 if stopped.stopped or not stopped.leases else EXIT_NOT_GRADED
        case "status":
            _say(_described(postgres.status()))
        case _:
            _say(postgres.url())
    return 0


def _described(status: Status) -> str:
    if not status.running:
        return "no database is running; `grader check` starts one when it needs it"
    what = f"PostgreSQL {status.version} with pgvector {status.pgvector} ({status.source}, {status.mode} mode)"
    uses = "".join(f"\n  in use by {lease}" for lease in status.leases) or ", idle"
    return f"{what}, {status.databases} databases of runs{uses}"


def _coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _own_fault(error: Exception) -> int:
    sys.stdout.flush()
    frames = "".join(traceback.format_exception(error)[-6:])
    sys.stderr.write(
        f"grader: our own fault: {type(error).__name__}: {error}\n"
        f"  Nothing was graded and nothing is held against you. Please report this:\n{frames}"
        "  more: docs/errors.md#own-fault\n"
    )
    return EXIT_NOT_GRADED
