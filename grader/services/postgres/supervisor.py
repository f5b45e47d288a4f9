"""The detached process that owns the embedded server and stops it when nobody holds a lease.

Run as `python -m grader.services.postgres.supervisor`. Its standard output carries one line of JSON to the process
that started it: the state of the server, or the fault that kept it from starting.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import psycopg

from grader.errors import EnvironmentFault
from grader.services.postgres import cluster, engine, faults, postmaster
from grader.services.postgres.endpoint import Connection, Endpoint
from grader.services.postgres.home import Home
from grader.services.postgres.locks import LockTakenError, locked

IDLE_SECONDS = 600.0
_CLIENTS = """
SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
"""


def main() -> int:
    home = Home.open()
    if os.fork() != 0:  # our parent gets no zombie to reap, and we get init for a parent
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    home.log.write_bytes(b"")
    log = os.open(home.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 2)
    try:
        return supervise_or_report(home)
    except EnvironmentFault as fault:
        report_fault(fault)
    except OSError as error:
        report_fault(
            faults.disk_full(str(home.folder), str(error)) if error.errno == 28 else faults.start_failed(str(error))
        )
    return 1


def supervise_or_report(home: Home) -> int:
    """Be the one supervisor, or report the server of another, started for a grader that was killed meanwhile.

    Behind another one it ends when its own grader is gone too.

    Raises:
        EnvironmentFault: another supervisor neither ends nor gets its server up.
    """
    deadline = time.monotonic() + postmaster.SECONDS_TO_START
    while True:
        try:
            with locked(home.supervisor_lock, seconds=0.05):
                return supervise(home)
        except LockTakenError:
            if state := home.state():
                report(state)
                return 0
            if nobody_waits():  # our server would come up behind the back of whoever stops that one
                return 0
            if time.monotonic() > deadline:
                raise


def report_fault(fault: EnvironmentFault) -> None:
    report({"what": fault.what, "mend": fault.mend, "slug": fault.slug})


def report(line: dict[str, Any]) -> None:
    """Tell the process that waits for us, then let go of it."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(line).encode() + b"\n")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)


def nobody_waits() -> bool:
    """Whether the process that started us, the reader of our output, is gone."""
    reader = select.poll()
    reader.register(1, 0)  # errors are reported unasked
    return bool(reader.poll(0))


def supervise(home: Home) -> int:
    """Start the server, watch it, stop it."""
    home.forget_state()  # of a supervisor that was killed
    wake = wake_on_signals()
    programs, copied = engine.ready(home.place().get("engine"))
    place = cluster.settle(home, programs, copied)
    server = postmaster.start(home, programs, place)
    state = {
        "supervisor": os.getpid(),
        "postmaster": server.process.pid,
        "port": server.port,
        "sockets": str(place.sockets),
        "data": str(place.data),
    }
    home.write_state(state)
    report(state)
    try:
        watch(home, server, wake)
    finally:
        if server.process.poll() is None:
            postmaster.stop(server)
        if home.state().get("supervisor") == os.getpid():
            home.forget_state()
        elif not home.folder.exists():  # our home was removed: nobody can find this cluster again
            Home.remove_folders(place.data.parent, place.sockets.parent, copied)
    return 0


def wake_on_signals() -> int:
    """A file descriptor that becomes readable when a child ends or we are asked to stop."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, lambda *_: None)
    return readable


def watch(home: Home, server: postmaster.Server, wake: int) -> None:
    """Return when the server is dead or shall stop."""
    idle = float(os.environ.get("GRADER_POSTGRES_IDLE", IDLE_SECONDS))
    tick = min(1.0, idle / 4)
    monitor = Monitor(server.endpoint)
    busy_at = time.monotonic()
    while True:
        woken, _, _ = select.select([wake], [], [], tick)
        asked = set(os.read(wake, 64)) if woken else set()
        if server.process.poll() is not None or asked & {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
            return
        if home.state().get("supervisor") != os.getpid():
            return
        if home.keep.exists() or monitor.clients() > 0:
            busy_at = time.monotonic()
        elif time.monotonic() - busy_at > idle and nobody_comes(home, server, monitor):
            return


def nobody_comes(home: Home, server: postmaster.Server, monitor: Monitor) -> bool:
    """Stop the server unless somebody connected meanwhile; the lock keeps new leases out until it is down."""
    try:
        with locked(home.start_lock, seconds=1):
            if monitor.clients() > 0:
                return False
            postmaster.stop(server)
            home.forget_state()
            return True
    except LockTakenError:  # somebody is busy with it: not idle
        return False


class Monitor:
    """Counts the sessions of others over one session of its own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: Connection | None = None

    def clients(self) -> int:
        """Sessions of others; 1 when the server does not say, because a server in doubt is not idle."""
        try:
            if self._connection is None:
                self._connection = self._endpoint.connect("grader supervisor")
            row = self._connection.execute(_CLIENTS).fetchone()
        except psycopg.Error:
            self._connection = None
            return 1
        return int(row[0]) if row else 1


if __name__ == "__main__":
    sys.exit(main())
