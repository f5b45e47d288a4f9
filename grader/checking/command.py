"""The learner's program as a command line: every run is a process with arguments, standard input and an exit code."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import Any, NamedTuple

from grader.checking.expect import Mismatch, shown
from grader.checking.program import ProgramTimeout, Recipe
from grader.checking.strict_json import read_json
from grader.sandbox import Launcher, Output, Reach, Running

_CHUNK = 65536


class Streams(NamedTuple):
    """Our ends of a program's standard streams; none of them blocks."""

    stdin: FileIO
    stdout: FileIO
    stderr: FileIO


@dataclass(frozen=True)
class Finished:
    """A run that came to its end: exit code (negative: killed by that signal), stdout (at most 1 MiB), stderr."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    asked: str

    @property
    def text(self) -> str:
        """Standard output as UTF-8, undecodable bytes escaped."""
        return self.stdout.decode("utf-8", "backslashreplace")

    def json(self) -> Any:
        """Standard output as one strict JSON text.

        Raises:
            Mismatch: it is something else.
        """
        try:
            return read_json(self.stdout)
        except ValueError as error:
            raise Mismatch(
                f"what {self.asked} printed is not JSON that can be read: {str(error)[:200]}",
                expected="one JSON text on standard output, and nothing else there",
                observed=f"exit code {self.exit_code}, {shown(self.text)!r}",
                hint="Does a log line go to standard output? It belongs on standard error.",
            ) from error


class Command:
    """A command line. Runs of one stage share folder and home, as a user's would; each run is a new process.

    Attributes:
        kept: the end of what all runs printed, for the report.
    """

    def __init__(self, launcher: Launcher, recipe: Recipe, *, seconds: float) -> None:
        self._launcher = launcher
        self._seconds = seconds
        self._running: Running | None = None
        self._usable = True
        self.recipe = recipe
        self.kept = Output(recipe.limits.output_kb * 1024)

    @property
    def alive(self) -> bool:
        """Whether it may be run again: until it was killed."""
        return self._usable

    @property
    def output(self) -> str:
        """The end of what its runs printed on both streams."""
        return self.kept.text()

    def run(
        self,
        *arguments: str,
        stdin: bytes | str = b"",
        environment: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> Finished:
        """Run it to its end, within one deadline.

        Whatever the program itself printed is read; a child that it leaves behind with the streams open is not
        waited for.

        Args:
            arguments: behind the argv of `entry`.
            environment: variables beside those that the brief promises.
            seconds: the deadline; default is three quarters of the lab's seconds per check.

        Raises:
            ProgramTimeout: it still ran at the deadline, and was killed.
            Mismatch: it printed more than 1 MiB on stdout or 8 MiB on stderr, and was killed.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        asked = shown(" ".join(("the command", *arguments)))
        allowed = seconds or self._seconds
        deadline = time.monotonic() + allowed
        with self._started(arguments, environment or {}) as (running, streams):
            out = _Said(streams.stdout, mib=1, kept=self.kept, asked=asked)
            err = _Said(streams.stderr, mib=8, kept=self.kept, asked=asked)
            ended = _converse(running, _Feed(streams.stdin, data), (out, err), deadline)
            code = running.wait(max(0.0, deadline - time.monotonic())) if ended else None
            if code is None:
                raise ProgramTimeout(
                    f"{asked} had not ended after {allowed:g} seconds",
                    self.output,
                    "Does it wait for more input, for a lock, or for an upstream call?",
                )
            return Finished(code, bytes(out.data), bytes(err.data), asked)

    @contextmanager
    def _started(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[tuple[Running, Streams]]:
        with started(self._launcher, self.recipe, arguments, environment) as (running, streams):
            self._running = running
            yield running, streams

    def signal(self, number: int) -> None:
        """Send a signal to the run that is under way."""
        if self._running:
            self._running.signal(number)

    def wait(self, seconds: float) -> int | None:
        """Exit status of the last run (0 when there was none); None when it still runs after `seconds`."""
        return self._running.wait(seconds) if self._running else 0

    def kill(self) -> None:
        """SIGKILL the run that is under way; the stage starts anew before the next one."""
        self._usable = False
        if self._running:
            self._running.kill()

    def close(self) -> None:
        """As `kill`."""
        self.kill()

    def expect_sound(self) -> None:
        """Nothing is left to find after a run: each one was judged when it ended."""


@contextmanager
def started(
    launcher: Launcher, recipe: Recipe, arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[Running, Streams]]:
    """A program with pipes on its three standard streams; it is killed and they are closed behind the block."""
    with ExitStack() as stack:
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        streams = Streams(FileIO(in_write, "w"), FileIO(out_read), FileIO(err_read))
        for stream in streams:
            os.set_blocking(stream.fileno(), False)
            stack.callback(stream.close)
        theirs = (in_read, out_write, err_write)
        try:
            running = launcher.start(
                (*recipe.argv, *arguments),
                environment={**recipe.environment, **environment},
                folder=recipe.folder,
                limits=recipe.limits,
                reach=Reach(recipe.own, connect=recipe.connect),
                streams=theirs,
            )
        finally:
            for stream_of_theirs in theirs:
                os.close(stream_of_theirs)
        stack.callback(running.kill)
        yield running, streams


class _Said:
    """What came on one stream so far, at most so many MiB."""

    def __init__(self, stream: FileIO, *, mib: int, kept: Output, asked: str) -> None:
        self.stream = stream
        self.data = bytearray()
        self._mib = mib
        self._kept = kept
        self._asked = asked

    def step(self) -> bytes | None:
        """Take what is there: b"" at the end of the stream, None when nothing is there now."""
        data = self.stream.read(_CHUNK)
        if data:
            self._kept.add(data)
            self.data += data
        if len(self.data) > self._mib * 2**20:
            raise Mismatch(
                f"{self._asked} printed more than {self._mib} MiB on one stream",
                expected=f"at most {self._mib} MiB",
                observed=f"more than {len(self.data):,} bytes, beginning with {bytes(self.data[:100])!r}",
                hint="It was killed for that.",
            )
        return data


class _Feed:
    """What still has to be written to the program's input, which is closed behind it."""

    def __init__(self, stream: FileIO, data: bytes) -> None:
        self.stream = stream
        self._left = memoryview(data)

    def step(self) -> bytes:
        """Write what fits; b"" at the end. A program that has closed its input wants nothing more."""
        with contextlib.suppress(BrokenPipeError):
            self._left = self._left[self.stream.write(self._left[:_CHUNK]) or 0 :]
            return bytes(self._left[:1])
        return b""


def _converse(running: Running, feed: _Feed, said: tuple[_Said, ...], deadline: float) -> bool:
    """Feed and read until the program has ended; False at the deadline."""
    with _wakes_at_the_end_of(running) as ended, selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        selector.register(feed.stream, selectors.EVENT_WRITE, feed)
        for each in said:
            selector.register(each.stream, selectors.EVENT_READ, each)
        while len(selector.get_map()) > 1:  # until only `ended` is left
            if (seconds := deadline - time.monotonic()) <= 0:
                return False
            ready = [key.data for key, _ in selector.select(seconds)]
            if None in ready:
                break
            for each in ready:
                if each.step() == b"":
                    selector.unregister(each.stream)
                    each.stream.close()
        for each in said:  # what it printed lies in the pipes; others may hold them open for ever
            while not each.stream.closed and each.step():
                pass
    return True


@contextmanager
def _wakes_at_the_end_of(running: Running) -> Iterator[int]:
    """A descriptor that becomes readable when the program itself has ended, whoever still holds its streams."""
    read, write = os.pipe()

    def watch() -> None:
        running.wait(threading.TIMEOUT_MAX)
        os.close(write)

    threading.Thread(target=watch, name=f"end of {running.pid}", daemon=True).start()
    try:
        yield read
    finally:
        os.close(read)
