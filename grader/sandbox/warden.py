"""A process that starts learners' programs, warm where it can, and kills what they leave behind.

One warden imports the lab's libraries once. For each run that connects it forks a keeper, and the keeper forks the
programs: a Python program starts in milliseconds because its libraries are there already, any other argv is executed.
Each program is confined after its fork and before its own first line. A keeper is the subreaper of everything that its
programs start, however often that forks away; when the run closes its connection (or dies) the keeper kills every
descendant and exits. A warden runs as `python -I -m grader.sandbox.warden`, holds no checks and no secrets, and never
reads a verdict.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from grader.sandbox import family, kernel
from grader.sandbox.keeper import Keeper


def main(argv: list[str]) -> NoReturn:
    """Serve runs on the listening socket `argv[1]` until descriptor `argv[0]`, the starter's life line, closes."""
    lifeline, listener = int(argv[0]), socket.socket(fileno=int(argv[1]))
    for inherited in (lifeline, listener.fileno()):
        os.set_inheritable(inherited, False)
    warden = os.getpid()
    kernel.become_subreaper()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the grader's to handle
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the life line says when to end, and then in order
    for name in argv[2:]:
        _import_quietly(name)
    gc.collect()
    gc.freeze()  # the collector of a fork need not touch, and so copy, what was imported here
    listener.setblocking(False)
    keepers: set[int] = set()
    wake = family.wake_on_signals()
    while True:
        ready, _, _ = select.select([lifeline, listener.fileno(), wake], [], [])
        if lifeline in ready:
            for pid in keepers:
                family.kill(pid, signal.SIGTERM)
            family.kill_descendants(spare=keepers)
            os._exit(0)
        if wake in ready:
            os.read(wake, 4096)
            keepers -= {pid for pid, _ in family.reap()}
            _kill_orphans(keepers)
        if listener.fileno() in ready:
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            pid = os.fork()
            if pid == 0:
                connection.setblocking(True)
                signal.set_wakeup_fd(-1)
                os.close(wake)
                os.close(lifeline)
                listener.close()
                Keeper(connection, warden).serve()
            keepers.add(pid)
            connection.close()


def _kill_orphans(keepers: set[int]) -> None:
    """Kill what a keeper that was killed has left to us: children that are no keepers, and theirs."""
    while orphans := set(family.children(os.getpid())) - keepers:
        for pid in orphans:
            family.kill(pid)
        select.select([], [], [], 0.005)
        keepers -= {pid for pid, _ in family.reap()}


def _import_quietly(name: str) -> None:
    """Import a library ahead of time; one that is missing is the program's to miss."""
    with contextlib.suppress(ImportError):
        importlib.import_module(name)


if __name__ == "__main__":
    main(sys.argv[1:])
