"""Find a server: the user's, one of ours that runs, or a fresh embedded one."""

from __future__ import annotations

import os
import sys

import psycopg

from grader.errors import EnvironmentFault
from grader.services.postgres import faults
from grader.services.postgres.endpoint import Connection, Endpoint

DOCKER_PORT = "54329"  # GRADER_POSTGRES_PORT changes it, here and in docker-compose.yml
CLUSTER_NAME = "ai-engineering-labs"  # docker-compose.yml sets it: another server on that port is left alone

Found = tuple[Endpoint, Connection]


def find(name: str, *, start: bool = True, keep: bool = False) -> Found | None:
    """Log in to the first server there is.

    Args:
        name: application name of the session, which is the lease.
        start: whether to start an embedded server when none runs.
        keep: a server started here stays up without leases.

    Raises:
        EnvironmentFault: DATABASE_URL does not answer, or nothing runs and nothing can be started.
    """
    if url := os.environ.get("DATABASE_URL"):
        return _from_environment(url, name)
    if sys.platform == "win32":
        found = _docker(name)
        if found is None and start:
            raise faults.no_database("Windows has no embedded server and Docker's does not answer on 127.0.0.1:54329")
        return found
    return _ours(name, start=start, keep=keep)


def _from_environment(url: str, name: str) -> Found:
    try:
        endpoint = Endpoint.from_url(url, "DATABASE_URL")
        return endpoint, endpoint.connect(name)
    except psycopg.Error as error:
        raise EnvironmentFault(
            f"DATABASE_URL does not lead to a database: {faults.first_line(error)}.",
            mend=f"Correct it, or unset it to use the embedded server, or run `{faults.COMPOSE_UP}`.",
            slug="no-database",
        ) from error


def _ours(name: str, *, start: bool, keep: bool) -> Found | None:
    from grader.services.postgres import embedded  # noqa: PLC0415  # fcntl and uids: not on Windows
    from grader.services.postgres.home import Home  # noqa: PLC0415  # as above

    home_fault: EnvironmentFault | None = None
    home: Home | None = None
    try:
        home = Home.open()
    except EnvironmentFault as fault:  # Docker's server needs no folder of ours
        home_fault = fault
    found = embedded.attach(home, name) if home else None
    found = found or _docker(name)
    if found or not start:
        return found
    if home is None:
        assert home_fault is not None
        raise home_fault
    return embedded.start(home, name, keep=keep)


def _docker(name: str) -> Found | None:
    login = {
        "host": "127.0.0.1",
        "port": os.environ.get("GRADER_POSTGRES_PORT", DOCKER_PORT),
        "user": "postgres",
        "password": os.environ.get("GRADER_POSTGRES_PASSWORD", "grader"),
        "dbname": "postgres",
        "sslmode": "disable",
    }
    endpoint = Endpoint("docker", login, "127.0.0.1")
    try:
        connection = endpoint.connect(name)
    except psycopg.OperationalError:
        return None
    row = connection.execute("SELECT current_setting('cluster_name')").fetchone()
    if row != (CLUSTER_NAME,):
        connection.close()
        return None
    return endpoint, connection
