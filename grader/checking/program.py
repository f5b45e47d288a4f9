"""The learner's program as a check sees it: requests with one deadline, answers with a cap, and how it died."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from grader.checking.event_stream import EventStream
from grader.checking.expect import Mismatch, shown
from grader.checking.strict_json import read_json
from grader.sandbox import Launcher, Limits, Output, PortTakenError, Reach, Running

REPLY_BYTES = 1024 * 1024
_POLL_SECONDS = 0.02
_REFUSALS = ("permission denied", "operation not permitted", "read-only file system")


class ProgramCrashed(Exception):  # noqa: N818 - a verdict's name, not an error of ours
    """The program ended while it was needed; `detail` is the tail of its output."""

    def __init__(self, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.detail, self.hint = message, detail, hint


class ProgramTimeout(ProgramCrashed):
    """The program gave no whole answer within its deadline."""


@dataclass(frozen=True)
class Response:
    """A whole HTTP answer of at most 1 MiB; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    asked: str

    @property
    def text(self) -> str:
        """The body as UTF-8, undecodable bytes escaped."""
        return self.body.decode("utf-8", "backslashreplace")

    def json(self) -> Any:
        """The body as strict JSON.

        Raises:
            Mismatch: it is not JSON (NaN is not), has a key twice, is nested too deeply, or holds a number that no
                double can hold.
        """
        try:
            return read_json(self.body)
        except ValueError as error:
            raise Mismatch(
                f"the answer to {self.asked} is not JSON that can be read: {str(error)[:200]}",
                expected="a JSON body",
                observed=f"{self.status} {shown(self.text)!r}",
                hint="Every answer is JSON, errors too.",
            ) from error


@dataclass(frozen=True)
class Begun:
    """A request that was sent and whose answer nobody has read yet."""

    connection: socket.socket
    asked: str

    def hang_up(self) -> None:
        """Close the connection, as a client that does not want the answer any more."""
        self.connection.close()

    def silent(self) -> bool:
        """Whether nothing has come back until now."""
        return not select.select([self.connection], [], [], 0)[0]


@dataclass(frozen=True)
class Recipe:
    """How a program is started: argv, folder, environment without PORT, bounds, and where it says it is ready.

    Attributes:
        own: the folder that it may write to; None for `folder`.
        connect: TCP ports of 127.0.0.1 that it may call.
    """

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    limits: Limits
    ready: str = "/health"
    ready_seconds: float = 20
    own: Path | None = None
    connect: tuple[int, ...] = ()


class Program:
    """A running HTTP service of the learner's. Safe to use from several threads at once."""

    def __init__(self, launcher: Launcher, recipe: Recipe, *, seconds: float) -> None:
        self._launcher = launcher
        self._seconds = seconds
        self.recipe = recipe
        self.port = 0
        self.running = self._start()
        self._client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"accept-encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
            # A connection for each request: a server may close one after an error without saying so in the answer.
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=0),
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.running.alive

    @property
    def kept(self) -> Output:
        """The tail of what it printed on stdout and stderr, as it grows."""
        return self.running.output

    @property
    def output(self) -> str:
        """The tail of what it printed on stdout and stderr."""
        return self.kept.text()

    def expect_sound(self) -> None:
        """Nothing is left to find after a check: an answer that nobody asked for has no place in HTTP."""

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Response:
        """Send one request and read the whole answer within one total deadline.

        Args:
            json: sent as a JSON body; `body` sends bytes as they are.
            seconds: the deadline; default is three quarters of the lab's seconds per check.

        Raises:
            ProgramTimeout: no whole answer in time.
            ProgramCrashed: the process has ended.
            Mismatch: it answers, but not with one HTTP response of at most 1 MiB.
        """
        asked = f"{method} {path}"
        deadline = time.monotonic() + (seconds or self._seconds)
        try:
            with self._client.stream(
                method, path, json=json, content=body, headers=headers, timeout=seconds or self._seconds
            ) as reply:
                return Response(reply.status_code, _lower(reply.headers), _read(reply, asked, deadline), asked)
        except httpx2.TimeoutException as error:
            raise self._timeout(asked, seconds or self._seconds) from error
        except httpx2.TransportError as error:
            raise self._broken(asked, error) from error
        except BaseException as error:
            error.add_note(asked)  # the check's own deadline: whoever reports it can name the request
            raise

    @contextlib.contextmanager
    def events(
        self, path: str, *, json: Any, headers: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Iterator[EventStream]:
        """POST and read the answer as server-sent events, one after another as they arrive.

        Raises:
            ProgramTimeout, ProgramCrashed, Mismatch: as `request`; also while the events are read.
        """
        asked = f"POST {path}"
        limit = seconds or self._seconds
        try:
            with self._client.stream("POST", path, json=json, headers=headers, timeout=limit) as reply:
                if reply.status_code != 200:
                    body = _read(reply, asked, time.monotonic() + limit).decode("utf-8", "backslashreplace")
                    raise Mismatch(f"{asked} gives no stream", expected="200", observed=f"{reply.status_code} {body}")
                yield EventStream(asked, reply.headers.get("content-type", ""), reply.iter_raw(), limit)
        except httpx2.TimeoutException as error:
            raise self._timeout(asked, limit) from error
        except httpx2.TransportError as error:
            raise self._broken(asked, error) from error

    def get(self, path: str, **options: Any) -> Response:
        """`request("GET", …)`."""
        return self.request("GET", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        """`request("PUT", …)`."""
        return self.request("PUT", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        """`request("POST", …)`."""
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        """`request("DELETE", …)`."""
        return self.request("DELETE", path, **options)

    @contextmanager
    def begun(self, path: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Begun]:
        """POST a request and do not wait for its answer: the client can hang up first.

        Raises:
            Mismatch: the program does not take the connection.
        """
        head = {"host": f"127.0.0.1:{self.port}", "content-length": str(len(body)), "connection": "close", **headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        try:
            connection = socket.create_connection(("127.0.0.1", self.port), timeout=self._seconds)
            connection.sendall("\r\n".join(lines).encode("latin-1") + body)
        except OSError as error:
            raise self._broken(f"POST {path}", error) from error
        with connection:
            yield Begun(connection, f"POST {path}")

    def signal(self, number: int) -> None:
        """Send a signal to its process group."""
        self.running.signal(number)

    def wait(self, seconds: float) -> int | None:
        """Exit status, or None when it still runs after `seconds`."""
        return self.running.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.running.kill()

    def close(self) -> None:
        """Kill it and forget its connections."""
        self.kill()
        self._client.close()

    def _start(self) -> Running:
        for attempt in (1, 2):
            self.port = _free_port()
            try:
                running = self._launcher.start(
                    self.recipe.argv,
                    environment={**self.recipe.environment, "PORT": str(self.port)},
                    folder=self.recipe.folder,
                    limits=self.recipe.limits,
                    reach=Reach(self.recipe.own, listen=(self.port,), connect=self.recipe.connect),
                )
            except PortTakenError:
                if attempt == 1:
                    continue
                raise
            try:
                self._wait_ready(running)
            except ProgramCrashed as crash:
                running.kill()
                # Another process may have taken the port between our look and the program's bind.
                if attempt == 1 and "address already in use" in crash.detail.lower() and _taken(self.port):
                    continue
                raise
            return running
        raise AssertionError

    def _wait_ready(self, running: Running) -> None:
        deadline = time.monotonic() + self.recipe.ready_seconds
        seen = "nothing listens there"
        with httpx2.Client(trust_env=False, headers={"accept-encoding": "identity"}) as client:
            while time.monotonic() < deadline:
                if running.wait(_POLL_SECONDS) is not None:
                    raise ProgramCrashed(*death(running, "before it was ready"))
                try:
                    reply = client.get(f"http://127.0.0.1:{self.port}{self.recipe.ready}", timeout=2.0)
                except httpx2.ConnectError:
                    continue
                except httpx2.TransportError as error:
                    seen = f"{type(error).__name__}: {error}"
                    continue
                if reply.status_code == 200:
                    return
                seen = f"{self.recipe.ready} answers {reply.status_code} {shown(reply.text)!r}"
                if reply.status_code == 501:  # says itself that it is not written yet: no need to wait
                    break
        raise ProgramTimeout(
            f"the program was not ready: {seen} (port {self.port})",
            running.output.text(),
            _where_it_listens(running, self.recipe, self.port)
            or f"GET {self.recipe.ready} must answer 200 within {self.recipe.ready_seconds:g} seconds of the start.",
        )

    def _timeout(self, asked: str, seconds: float) -> ProgramTimeout:
        return ProgramTimeout(
            f"no whole answer to {asked} within {seconds:g} seconds",
            self.output,
            "Something in the request waits for ever: a lock, a connection pool that is used up, an upstream call.",
        )

    def _broken(self, asked: str, error: Exception) -> Exception:
        # The connection may break some milliseconds before the process is reaped.
        if self.running.wait(0.5) is not None:
            return ProgramCrashed(*death(self.running, f"during {asked}"))
        return Mismatch(
            f"{asked} was not answered with one HTTP response",
            expected="status, headers and a whole body",
            observed=f"{type(error).__name__}: {error}",
            hint="The connection was refused or closed early, or what was sent is not HTTP/1.1.",
        )


def death(running: Running, when: str) -> tuple[str, str, str]:
    """How a program ended, as the arguments of ProgramCrashed."""
    code, words = running.exit_code or 0, running.last_words()
    how = f"with status {code}" if code >= 0 else f"by signal {signal.Signals(-code).name}"
    hint = "Read the end of its output below: what it printed last is usually the reason."
    if not words:
        hint = "It printed nothing. Start it yourself with the variables that the brief promises, or let it say more."
    if running.flooded:
        how, hint = "because it printed more than 8 MiB", "It was killed for that: log less."
    elif over := running.overrun:
        how = f"because it used {over.used}, and {over.allowed} are allowed ({over.slug})"
        hint = f"It was killed for that, with all that it had started: docs/errors.md#{over.slug}."
    elif any(refusal in words.lower() for refusal in _REFUSALS):
        hint = "It may write in its own folders, listen on PORT and call what it is given: docs/isolation.md."
    return f"the program ended {how} {when}", words, hint


def base_environment(scratch: Path) -> dict[str, str]:
    """What every program gets beside what its brief promises: where commands, home and temporary files are."""
    import os  # noqa: PLC0415 - the grader's own PATH is read here and nowhere else

    own = str(Path(sys.executable).parent)
    return {
        "PATH": f"{own}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }


def _read(reply: httpx2.Response, asked: str, deadline: float) -> bytes:
    if coding := reply.headers.get("content-encoding"):
        raise Mismatch(
            f"the answer to {asked} is compressed", expected="identity encoding, as asked for", observed=coding
        )
    body = bytearray()
    for part in reply.iter_raw():
        body += part
        if len(body) > REPLY_BYTES:
            raise Mismatch(
                f"the answer to {asked} is larger than 1 MiB",
                expected="at most 1 MiB",
                observed=f"more than {len(body):,} bytes",
                hint="Is a whole table in it?",
            )
        if time.monotonic() > deadline:
            raise httpx2.ReadTimeout("the answer trickles in too slowly")
    return bytes(body)


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _where_it_listens(running: Running, recipe: Recipe, port: int) -> str:
    """The likeliest mistake of a service that is up but cannot be reached: another address or port."""
    ours = {f"127.0.0.1:{connect}" for connect in recipe.connect}
    found = running.listening() - ours
    if not found or f"127.0.0.1:{port}" in found:
        return ""
    mend = "Take the port from PORT."
    if all(each.endswith(f":{port}") for each in found):
        mend = "The port is right; bind 127.0.0.1 (or 0.0.0.0)."
    return f"It listens on {', '.join(sorted(found))}; the grader asks 127.0.0.1:{port}. {mend}"
