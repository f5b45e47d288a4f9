"""The learner's MCP server on its standard streams: JSON-RPC, each message judged as it comes in."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from grader.checking.command import Streams, started
from grader.checking.expect import Mismatch, shown
from grader.checking.mcp_messages import Answer, Id, answer_problem
from grader.checking.program import ProgramCrashed, ProgramTimeout, Recipe, death
from grader.checking.strict_json import read_json
from grader.sandbox import Launcher, Output
from grader.sandbox.launcher import FLOOD_BYTES

LINE_BYTES = 1024 * 1024
KEPT_NOTIFICATIONS = 1000
UNASKED_MESSAGES = 10_000


class McpStdio:
    """A running MCP server on its standard streams, one JSON text per line. Safe to use from several threads.

    Attributes:
        kept: the end of what it logged on standard error.
        notifications: the last 1,000 notifications that it sent.
        asked: what it asked of the client; answered from `answers`, else with "method not found".
        answers: what the check answers to the server's own requests, by method, as a function of the params.
    """

    def __init__(self, launcher: Launcher, recipe: Recipe, *, seconds: float) -> None:
        self.recipe = recipe
        self._seconds = seconds
        self._stack = ExitStack()
        self.running, self._streams = self._stack.enter_context(started(launcher, recipe, (), {}))
        self.kept: Output = self.running.output
        self.notifications: deque[Mapping[str, Any]] = deque(maxlen=KEPT_NOTIFICATIONS)
        self.asked: deque[Mapping[str, Any]] = deque(maxlen=KEPT_NOTIFICATIONS)
        self.answers: dict[str, Callable[[Any], Any]] = {"ping": lambda _params: {}}
        self._news = threading.Condition()
        self._waiting: dict[Id, Mapping[str, Any] | None] = {}
        self._given_up: set[Id] = set()
        self._unasked = 0
        self._fault: Mismatch | None = None
        self._closed = False
        self._writing = threading.Lock()
        for target in (self._listen, self._keep_log):
            threading.Thread(target=target, name=f"mcp {self.running.pid}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.running.alive

    @property
    def output(self) -> str:
        """The end of what it logged on standard error."""
        return self.kept.text()

    def request(self, method: str, params: Any = None, *, seconds: float | None = None) -> Answer:
        """Ask and wait for the answer with this request's id.

        Raises:
            ProgramTimeout: no answer in time.
            ProgramCrashed: the process has ended.
            Mismatch: something on its standard output is no message, or was not asked for.
        """
        number = secrets.randbelow(2**48)  # not to be guessed, so that no answer can lie ready
        message = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            message["params"] = params
        return self.raw(json.dumps(message).encode(), number, asked=method, seconds=seconds)

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification: nothing comes back."""
        message = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
        self._write(json.dumps(message).encode(), time.monotonic() + self._seconds, method)

    def send(self, line: bytes, *, allowed: tuple[Id, ...] = ()) -> None:
        """Send a line as it is, whole or broken, and do not wait for an answer.

        Args:
            allowed: from now on an answer with one of these ids (None: to what could not be read) is no fault.
        """
        self._given_up.update(allowed)
        self._write(line, time.monotonic() + self._seconds, f"the line {shown(line.decode('utf-8', 'replace'))!r}")

    def raw(self, line: bytes, number: Id, *, asked: str = "", seconds: float | None = None) -> Answer:
        """Send a line as it is and wait for the answer with id `number` (None: to what could not be read).

        Raises:
            As `request`.
        """
        asked = asked or f"the line {shown(line.decode('utf-8', 'backslashreplace'))!r}"
        allowed = seconds or self._seconds
        deadline = time.monotonic() + allowed
        if self.running.wait(0) is not None:  # a child may hold its streams: a client would not talk to that
            raise ProgramCrashed(*death(self.running, f"before {asked}"))
        with self._news:
            self._waiting[number] = None
            self._unasked = 0
        try:
            self._write(line, deadline, asked)
            with self._news:
                self._news.wait_for(
                    lambda: self._fault or self._closed or self._waiting[number], max(0.0, deadline - time.monotonic())
                )
                if self._fault:
                    raise self._fault
                if answer := self._waiting[number]:
                    return Answer(asked, answer)
                self._given_up.add(number)
        finally:
            with self._news:
                del self._waiting[number]
        if self.running.wait(0.5 if self._closed else 0) is not None:
            raise ProgramCrashed(*death(self.running, f"during {asked}"))
        if self._closed:
            raise Mismatch(f"{asked} was not answered: the server closed its standard output")
        raise ProgramTimeout(
            f"no answer to {asked} within {allowed:g} seconds",
            self.output,
            "Is the answer flushed, and does it end with a line feed? Is a lock or an upstream call waited for?",
        )

    def hang_up(self, seconds: float) -> int | None:
        """Close its standard input, as a client that leaves; exit status, or None when it still runs after that."""
        with self._writing:
            self._streams.stdin.close()
        return self.running.wait(seconds)

    def expect_sound(self) -> None:
        """Raise what was found on its standard output since the last request, if it was no message for us.

        Raises:
            Mismatch: as said.
        """
        with self._news:
            if self._fault:
                raise self._fault

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
        """Kill it and close its streams."""
        self._stack.close()

    # --- threads ----------------------------------------------------------------------------------------------------

    def _write(self, line: bytes, deadline: float, asked: str) -> None:
        left = memoryview(line + b"\n")
        with self._writing:
            while left:
                if not select.select([], [self._streams.stdin], [], max(0.0, deadline - time.monotonic()))[1]:
                    raise ProgramTimeout(
                        f"the server did not read {asked} in time",
                        self.output,
                        "Its standard input is full: does it read while it works?",
                    )
                try:
                    left = left[self._streams.stdin.write(left) or 0 :]
                except BrokenPipeError:  # it has closed its input, or ended: the wait for the answer says which
                    return

    def _listen(self) -> None:
        """Read standard output until it ends; the first thing that is no message for us ends it too."""
        rest = bytearray()
        with contextlib.suppress(OSError, ValueError):  # closed by us
            while data := _next(self._streams, "stdout"):
                *lines, last = (rest + data).split(b"\n")
                rest = bytearray(last)
                for line in lines:
                    self._take(bytes(line))
                if len(rest) > LINE_BYTES:
                    self._is_at_fault(f"a line of more than 1 MiB ({len(rest):,} bytes so far)", bytes(rest[:200]))
                if self._fault:
                    break
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _keep_log(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by us
            while data := _next(self._streams, "stderr"):
                self.kept.add(data)
                if self.kept.total > FLOOD_BYTES:
                    self.running.flooded = True
                    self.running.kill()

    def _take(self, line: bytes) -> None:
        if self._fault:
            return
        try:
            message = read_json(line)
        except ValueError as error:
            self._is_at_fault(f"not JSON ({str(error)[:100]})", line)
            return
        match message:
            case {"jsonrpc": "2.0", "method": str(method), **rest} if "result" not in rest and "error" not in rest:
                self._unasked += 1
                if self._unasked > UNASKED_MESSAGES:
                    self._is_at_fault(f"more than {UNASKED_MESSAGES:,} messages that nobody asked for", line)
                elif "id" in rest:
                    self.asked.append(message)
                    threading.Thread(target=self._reply, args=(method, message), daemon=True).start()
                else:
                    self.notifications.append(message)
            case _:
                if problem := answer_problem(message):
                    self._is_at_fault(problem, line)
                else:
                    self._hand_over(message, line)

    def _hand_over(self, message: Mapping[str, Any], line: bytes) -> None:
        number: Id = message.get("id")
        with self._news:
            for waiting, answer in self._waiting.items():
                if waiting == number and type(waiting) is type(number) and answer is None:
                    self._waiting[waiting] = message
                    self._news.notify_all()
                    return
            if number in self._given_up:
                return
        self._is_at_fault(f"an answer with the id {number!r}, which no open request has", line)

    def _reply(self, method: str, message: Mapping[str, Any]) -> None:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if method in self.answers:
            answer["result"] = self.answers[method](message.get("params"))
        else:
            answer["error"] = {"code": -32601, "message": f"this client has no {method}"}
        with contextlib.suppress(ProgramCrashed, ValueError):
            self._write(json.dumps(answer).encode(), time.monotonic() + self._seconds, method)

    def _is_at_fault(self, what: str, line: bytes) -> None:
        with self._news:
            self._fault = self._fault or Mismatch(
                f"the server wrote {what} on its standard output",
                expected="one JSON-RPC message per line, and nothing else there",
                observed=shown(line.decode("utf-8", "backslashreplace")),
                hint="Does something print? Logs belong on standard error.",
            )
            self._news.notify_all()


def _next(streams: Streams, name: str) -> bytes:
    """Wait for the next bytes of a stream; b"" at its end."""
    stream = getattr(streams, name)
    while True:
        select.select([stream], [], [])
        if (data := stream.read(65536)) is not None:
            return bytes(data)
