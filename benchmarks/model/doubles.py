"""One way to script three doubles: ours, llmock and aimock; each is given the best that it has for a step."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.model import install
from grader.model import (
    Cut,
    Disconnect,
    Fail,
    Garbage,
    ModelDouble,
    Reply,
    Slow,
    Step,
    ToolCall,
    Turn,
    Unfaithful,
)

START_SECONDS = 30.0
# Quotas that nothing reaches: with them it sends its rate-limit headers.
LLMOCK_OPTIONS = ("serve", "--log-level", "error", "--rpm", "10000000", "--tpm", "2000000000", "-p")
# With keys of its own it refuses requests without one.
AIMOCK_ENVIRONMENT = {"AIMOCK_API_KEYS": "k"}


class CannotScript(Exception):  # noqa: N818  a result of the battery, not an error of its
    """The double has no words for this step."""


class Double(ABC):
    """A running double.

    Attributes:
        anthropic_url, openai_url: what the SDKs' base URLs are set to.
        start_seconds: from the command to the first answer.
    """

    name: str
    anthropic_url: str
    openai_url: str
    start_seconds: float = 0.0

    @abstractmethod
    def play(self, *steps: Step) -> None:
        """Queues steps; raises CannotScript."""

    @abstractmethod
    def reset(self) -> None: ...

    @abstractmethod
    def bodies(self) -> list[dict[str, Any]]:
        """Bodies of the requests since the last reset, where they are kept; raises CannotScript where they are not."""


class Ours(Double):
    """This repository's, in the process of the benchmark; checks script it so."""

    name = "ours"

    def __init__(self, double: ModelDouble) -> None:
        self.double = double
        self.anthropic_url, self.openai_url = double.anthropic_base_url, double.openai_base_url
        self._mark = 0

    def play(self, *steps: Step) -> None:
        self.double.script(*steps)

    def reset(self) -> None:
        self.double.reset()
        self._mark = self.double.journal.mark()

    def bodies(self) -> list[dict[str, Any]]:
        return [dict(request.body) for request in self.double.journal.requests(self._mark)]


class Remote(Double):
    """A double in a process of its own, scripted over HTTP."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.http = httpx2.Client(base_url=self.root, timeout=10, headers={"authorization": "Bearer k"})

    def _post(self, path: str, body: Any = None) -> None:
        response = self.http.post(path, json=body)
        if response.is_error:
            raise CannotScript(response.text[:200])


class Llmock(Remote):
    """llmock from PyPI: a queue of behaviours."""

    name = "llmock"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.anthropic_url, self.openai_url = f"{self.root}/anthropic", f"{self.root}/v1"

    def play(self, *steps: Step) -> None:
        for step in steps:
            self._post("/_llmock/scenario", {"behaviors": list(self._behaviors(step))})

    def reset(self) -> None:
        self._post("/_llmock/reset")

    def bodies(self) -> list[dict[str, Any]]:
        kept = self.http.get("/_llmock/requests").json()["requests"]
        if any("body" not in request for request in kept):
            raise CannotScript("requests are kept without their bodies")
        return [request["body"] for request in kept]

    def _behaviors(self, step: Step) -> Iterator[dict[str, Any]]:
        match step:
            case Unfaithful():
                yield from self._behaviors(step.step)
            case Reply() | ToolCall() | Turn() if not isinstance(step, Turn) or not step.thinking:
                turn = step if isinstance(step, Turn) else Turn(step)
                calls = [{"name": call.name, "arguments": call.arguments} for call in turn.tool_calls]
                reply: dict[str, Any] = {"type": "reply"} | ({"text": turn.text} if turn.text else {})
                reply |= {"tool_calls": calls} if calls else {}
                if turn.ending == "max_tokens":
                    reply["finish_reason"] = "length"
                yield reply
            case Fail():
                fail: dict[str, Any] = {"type": "fail", "status": step.status}
                if step.message:
                    fail["message"] = step.message
                if step.retry_after_ms is not None:
                    fail["retry_after"] = step.retry_after_ms / 1000
                yield fail
            case Slow():
                yield {"type": "delay", "seconds": step.seconds}
                yield from self._behaviors(step.step)
            case Cut():
                yield {"type": "stream_fault", "kind": "disconnect", "after_chunks": step.after_events}
                yield from self._behaviors(step.step)
            case _:
                raise CannotScript(f"no words for {type(step).__name__}")


class Aimock(Remote):
    """@copilotkit/aimock from npm: fixtures, matched by how often they have matched."""

    name = "aimock"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.anthropic_url, self.openai_url = self.root, f"{self.root}/v1"

    def play(self, *steps: Step) -> None:
        # One fixture a step, told apart by its place in the sequence.
        many = len(steps) > 1
        fixtures = [
            {"match": {"sequenceIndex": index} if many else {}, **self._fixture(step)}
            for index, step in enumerate(steps)
        ]
        self._post("/__aimock/fixtures", {"fixtures": fixtures})

    def reset(self) -> None:
        self._post("/__aimock/reset")

    def bodies(self) -> list[dict[str, Any]]:
        kept = self.http.get("/__aimock/journal").json()
        entries = kept if isinstance(kept, list) else kept.get("entries", kept.get("requests", []))
        return [entry["body"] for entry in entries]

    def _fixture(self, step: Step) -> dict[str, Any]:
        match step:
            case Unfaithful():
                return self._fixture(step.step)
            case Slow():
                return {**self._fixture(step.step), "chaos": {"latencyMs": round(step.seconds * 1000)}}
            case Cut():
                return {**self._fixture(step.step), "truncateAfterChunks": step.after_events}
            case Disconnect() | Garbage():
                chaos = "disconnectRate" if isinstance(step, Disconnect) else "malformedRate"
                return {"response": {"content": "never"}, "chaos": {chaos: 1}}
            case _:
                return {"response": _response(step)}


def _response(step: Step) -> dict[str, Any]:
    match step:
        case Reply() | ToolCall() | Turn():
            turn = step if isinstance(step, Turn) else Turn(step)
            calls = [
                {"name": call.name, "arguments": json.dumps(call.arguments)} | ({"id": call.id} if call.id else {})
                for call in turn.tool_calls
            ]
            reply: dict[str, Any] = {"content": turn.text} if turn.text or not calls else {}
            reply |= {"toolCalls": calls} if calls else {}
            reply |= {"reasoning": turn.thinking} if turn.thinking else {}
            return reply | ({"finishReason": "length"} if turn.ending == "max_tokens" else {})
        case Fail():
            error = {"message": step.message or "failed", "type": step.kind or _kind(step.status)}
            return {"error": error, "status": step.status}
        case _:
            raise CannotScript(f"no words for {type(step).__name__}")


def _kind(status: int) -> str:
    return {429: "rate_limit_error", 529: "overloaded_error"}.get(status, "api_error")


@contextmanager
def running() -> Iterator[list[Double]]:
    """Every double that can be had, each fresh."""
    with ExitStack() as stack:
        yield [start(stack) for start in (_ours, *_others())]


def _ours(stack: ExitStack) -> Double:
    return Ours(stack.enter_context(ModelDouble()))


def _others() -> list[Any]:
    found: list[Any] = []
    if command := install.llmock():
        found.append(lambda stack: started(stack, Llmock, [str(command), *LLMOCK_OPTIONS]))
    if other := install.aimock():
        found.append(lambda stack: started(stack, Aimock, _aimock_command(stack, other)))
    return found


def _aimock_command(stack: ExitStack, command: Path) -> list[str]:
    empty = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
    return [str(command), "-f", empty, "--log-level", "silent", "--journal-max", "100000", "-p"]


def started(stack: ExitStack, kind: type[Remote], command: list[str]) -> Remote:
    """Starts a double's command with a port of its own, and waits until it listens."""
    port = free_port()
    began = time.monotonic()
    environment = {**os.environ, **AIMOCK_ENVIRONMENT}
    process = subprocess.Popen(
        [*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    wait_for_port(port, process)
    double = kind(port)
    double.start_seconds = time.monotonic() - began
    stack.callback(double.http.close)
    return double


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[Any]) -> None:
    """Returns when somebody listens there."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.002)  # a port announces nothing when it opens
        else:
            return
    raise SystemExit(f"{process.args!r} does not listen on {port}: {process.poll()}")
