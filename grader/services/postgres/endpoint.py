"""Where a server answers and how to log in: for us, and as the address that a learner's program is given."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Source = Literal["DATABASE_URL", "running", "docker", "embedded"]
Connection = psycopg.Connection[tuple[Any, ...]]

# Every setting that a database or a role could carry into our sessions is named here, because an option of the
# connection wins over ALTER DATABASE and ALTER ROLE. No function or operator is ever found outside pg_catalog.
OUR_SETTINGS: Mapping[str, str] = {
    "search_path": "pg_catalog",
    "client_min_messages": "warning",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read\\ committed",
    "statement_timeout": "60s",
    "lock_timeout": "30s",
}
SECONDS_FOR_A_PLACE = 10.0
_LOGIN = frozenset({"host", "hostaddr", "port", "user", "password", "dbname", "application_name", "options"})


@dataclass(frozen=True)
class Endpoint:
    """A server and our administrator's login.

    Attributes:
        source: how the server was found.
        login: libpq parameters of the administrator.
        learner_host: host in the addresses that learners get.
    """

    source: Source
    login: Mapping[str, str] = field(repr=False)
    learner_host: str

    @staticmethod
    def from_url(url: str, source: Source) -> Endpoint:
        """Read a connection address of the user's.

        Raises:
            psycopg.ProgrammingError: the address is no connection address.
        """
        login = {key: str(value) for key, value in conninfo_to_dict(url).items() if value is not None}
        return Endpoint(source, login, login.get("host", "127.0.0.1"))

    def connect(
        self,
        name: str,
        *,
        database: str | None = None,
        user: str | None = None,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Connection:
        """Open a session whose settings are ours, as the administrator or as another user."""
        login: dict[str, str] = {"connect_timeout": "5", **self.login}
        if database is not None:
            login["dbname"] = database
        if user is not None and password is not None:
            login |= {"user": user, "password": password}
        options = " ".join(f"-c {key}={value}" for key, value in {**OUR_SETTINGS, **(settings or {})}.items())
        login |= {"application_name": name, "client_encoding": "UTF8", "options": options}
        return _connect(make_conninfo("", **login))

    def learner_url(self, role: str, password: str, database: str, *, search_path: str | None = None) -> str:
        """The address a learner's program connects to."""
        extra = {key: value for key, value in self.login.items() if key not in _LOGIN}
        if search_path is not None:
            extra["options"] = f"-c search_path={search_path}"
        where = f"{_bracketed(self.learner_host)}:{self.login.get('port', '5432')}"
        if self.learner_host.startswith("/"):  # a unix socket has no place in the authority of an address
            extra |= {"host": self.learner_host, "port": self.login.get("port", "5432")}
            where = ""
        query = f"?{urlencode(extra, quote_via=quote)}" if extra else ""
        return (
            f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}@{where}/{quote(database, safe='')}{query}"
        )


def _connect(conninfo: str) -> Connection:
    """Connect; where no place is free, try again while the watchdog ends those that do not log in."""
    deadline = time.monotonic() + SECONDS_FOR_A_PLACE
    while True:
        try:
            return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.OperationalError as error:
            if "too many clients" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)  # nothing tells when a place becomes free


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
