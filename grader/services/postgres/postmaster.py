"""The running server: started on a free port, rebuilt when its files are broken, asked its first question."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import psycopg

from grader.services.postgres import faults
from grader.services.postgres.cluster import LAYOUT, Place, create, last_lines
from grader.services.postgres.endpoint import Connection, Endpoint
from grader.services.postgres.engine import PLAIN_ENVIRONMENT, Engine
from grader.services.postgres.home import Home
from grader.services.postgres.processes import clear_orphans, end, tied_to_us, watch_over

PORT_TAKEN = ("Address already in use", "could not create any TCP/IP sockets")
SECONDS_TO_START = 40.0


class BrokenClusterError(Exception):
    """The server does not come up on these files."""


class PortTakenError(Exception):
    """Another program got the port between our choice and the server's start."""


@dataclass(frozen=True)
class Server:
    """A running postmaster, our direct child."""

    process: subprocess.Popen[bytes]
    port: int
    endpoint: Endpoint


def start(home: Home, engine: Engine, place: Place) -> Server:
    """Start the server on a free port; rebuild the cluster once when it is broken."""
    fresh = not home.password.exists() or not place.complete.exists() or place.complete.read_text() != LAYOUT
    for attempt in ("as it is", "rebuilt"):
        if fresh:
            create(home, engine, place)
        try:
            server = _start_on_a_free_port(home, engine, place)
        except BrokenClusterError as broken:
            if attempt == "rebuilt" or fresh:
                raise faults.start_failed(str(broken)) from broken
            fresh = True
            continue
        if fresh:
            try:
                _first_words(server.endpoint)
            except BaseException:
                stop(server)
                raise
            place.complete.write_text(LAYOUT)
        return server
    raise AssertionError


def _start_on_a_free_port(home: Home, engine: Engine, place: Place) -> Server:
    for _ in range(8):
        clear_orphans(place.data)
        try:
            return _launch(home, engine, place, free_port())
        except PortTakenError:
            continue
    raise faults.start_failed("eight free ports on 127.0.0.1 were taken before the server could bind them.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _launch(home: Home, engine: Engine, place: Place, port: int) -> Server:
    with home.log.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            [engine.programs / "postgres", "-D", place.data, "-k", place.sockets, "-p", str(port)],
            cwd="/",
            env=PLAIN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=tied_to_us(signal.SIGINT),  # noqa: PLW1509  # the supervisor has one thread
            **(engine.server.child() if engine.server else {}),
        )
    if sys.platform != "linux":
        watch_over(process.pid)
    endpoint = place.endpoint(home, port)
    try:
        _await_answer(process, endpoint)
    except BrokenClusterError as broken:
        end(process)
        said = home.log.read_bytes()[begin:].decode("utf-8", "replace")
        if any(text in said for text in PORT_TAKEN):
            raise PortTakenError(port) from None
        if "No space left on device" in said:
            raise faults.disk_full(str(place.data), "no space left on device") from None
        raise BrokenClusterError(f"{broken}; its log ends with: {last_lines(said)}") from None
    return Server(process, port, endpoint)


def _await_answer(process: subprocess.Popen[bytes], endpoint: Endpoint) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            endpoint.connect("grader supervisor").close()
        except psycopg.OperationalError as error:
            if process.poll() is not None:
                raise BrokenClusterError(f"it ended with status {process.returncode}") from None
            if "password authentication failed" in str(error):
                raise BrokenClusterError("its superuser password is not ours") from None
            if time.monotonic() > deadline:
                raise BrokenClusterError(f"no answer within {SECONDS_TO_START:.0f} s") from None
            time.sleep(0.01)  # the server tells nobody that it is ready
        else:
            return


def _first_words(endpoint: Endpoint) -> None:
    """Close the doors that every cluster comes with open, and make sure that this CPU can run pgvector."""
    with endpoint.connect("grader supervisor") as connection:
        connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
        self_test(connection)


def self_test(
    connection: Connection, statement: str = "SELECT '[1,2,3]'::public.vector OPERATOR(public.<->) '[3,2,1]'"
) -> None:
    """One distance: the wheel's vector library is built for newer CPUs and dies of SIGILL on older ones."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("CREATE EXTENSION vector SCHEMA public")
            connection.execute(statement)
    except psycopg.OperationalError as error:
        raise faults.cpu_too_old() from error


def stop(server: Server) -> None:
    """Fast shutdown: sessions end, files are left clean."""
    end(server.process, signal.SIGINT)
