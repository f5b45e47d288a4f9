"""Addresses of servers elsewhere, as a confined program can use them: it calls ports of 127.0.0.1 and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

_HERE = ("127.0.0.1", "localhost")
_SECONDS = 5.0
_POSTGRES = 5432

Connect = Callable[[], socket.socket]


def ports(addresses: list[str]) -> tuple[int, ...]:
    """The ports of 127.0.0.1 in these URLs; what is no URL has none."""
    found = [urlsplit(address) for address in addresses if "://" in address]
    return tuple(dict.fromkeys(url.port for url in found if url.hostname in _HERE and url.port))


def elsewhere(url: str) -> Connect | None:
    """How to connect to the server of a database URL that is no TCP port of 127.0.0.1; None when it is one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    host = query.get("host") or parts.hostname or "127.0.0.1"
    port = int(query.get("port") or parts.port or _POSTGRES)
    if host in _HERE:
        return None
    if host.startswith("/"):
        return lambda: _to_file(f"{host}/.s.PGSQL.{port}")
    return lambda: socket.create_connection((host, port), _SECONDS)


def moved(url: str, port: int) -> str:
    """The URL with its server at a port of 127.0.0.1, through which the same bytes go.

    TLS still ends at the server itself, but its certificate names another host than the one in the URL.
    """
    parts = urlsplit(url)
    query = {key: value for key, value in parse_qsl(parts.query) if key not in ("host", "port", "hostaddr")}
    if query.get("sslmode") == "verify-full":
        query["sslmode"] = "verify-ca"
    login, at, _ = parts.netloc.rpartition("@")
    netloc = f"{login}{at}127.0.0.1:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, quote_via=quote), ""))


def _to_file(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_SECONDS)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
