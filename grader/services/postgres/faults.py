"""Every way the database can fail us, as faults with a slug, so that no psycopg error reaches a check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from grader.errors import EnvironmentFault, GraderFault, LearnerError

COMPOSE_UP = "docker compose up -d --wait"


class QueryRefusedError(LearnerError):
    """A read that the learner's database did not answer: no such table, a lock held, a view that fails.

    Attributes:
        sqlstate: PostgreSQL's code, or "" where there is none.
    """

    def __init__(self, what: str, *, sqlstate: str = "") -> None:
        super().__init__(
            what,
            mend="Look at the tables your program made; they must be readable by the role in DATABASE_URL.",
            slug="query-refused",
        )
        self.sqlstate = sqlstate


class DatabaseLimitError(LearnerError):
    """The program's database outgrew its limit."""


def database_limit(size: int, limit: int) -> DatabaseLimitError:
    return DatabaseLimitError(
        f"The program's database has grown to {size / 2**20:,.0f} MB; it may have {limit / 2**20:,.0f} MB.",
        mend="Does it insert without an end, or keep what it should replace? Its sessions were ended.",
        slug="database-limit",
    )


def no_database(why: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"No PostgreSQL to grade with: {why}.",
        mend=f"Start one with `{COMPOSE_UP}`, or set DATABASE_URL to a server of version 15 or newer with pgvector.",
        slug="no-database",
    )


def disk_full(where: str, detail: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"The disk is full at '{where}': {detail}.",
        mend="Free 200 MB there, or set GRADER_HOME to a folder on another disk, then run the command again.",
        slug="disk-full",
    )


def cache_read_only(where: str, detail: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"The folder '{where}' cannot be written to: {detail}.",
        mend="Set GRADER_HOME to a folder that you own, for example `export GRADER_HOME=$HOME/grader`.",
        slug="cache-read-only",
    )


def start_failed(detail: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"The embedded PostgreSQL did not start: {detail}",
        mend=f"Run the command again; if it says the same, use Docker: `{COMPOSE_UP}`.",
        slug="database-start",
    )


def cpu_too_old() -> EnvironmentFault:
    return EnvironmentFault(
        "The embedded pgvector crashed in its first distance: this CPU lacks AVX2.",
        mend=f"Use Docker, whose pgvector is built for every CPU: `{COMPOSE_UP}`.",
        slug="cpu-too-old",
    )


def database_lost(doing: str, error: BaseException) -> EnvironmentFault:
    return EnvironmentFault(
        f"The database went away while {doing}: {first_line(error)}.",
        mend="Run the command again; `grader db status` says what is running.",
        slug="database-lost",
    )


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what psycopg raises in the block into a fault that says what we were doing."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise disk_full("the database server", first_line(error)) from error
    except psycopg.errors.TooManyConnections as error:
        raise EnvironmentFault(
            f"The database has no free connection while {doing}: {first_line(error)}.",
            mend="Close programs that use this server, or wait for the other runs to end.",
            slug="database-busy",
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise database_lost(doing, error) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise EnvironmentFault(
            f"The role in DATABASE_URL may not do what grading needs, while {doing}: {first_line(error)}.",
            mend=f"Use a role with CREATEDB and CREATEROLE, or unset DATABASE_URL, or run `{COMPOSE_UP}`.",
            slug="database-refused",
        ) from error
    except psycopg.Error as error:
        raise GraderFault(
            f"The database refused a statement of ours while {doing}: {first_line(error)}.",
            mend="Please report it with the output of `grader db status`.",
            slug="database-error",
        ) from error
