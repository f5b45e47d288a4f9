"""The learner's MCP server on streamable HTTP: each message is a POST, the answer is JSON or a stream of events."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grader.checking.expect import Mismatch
from grader.checking.mcp_messages import Answer, answer_problem, read_events
from grader.checking.program import Program, Response


@dataclass(frozen=True)
class Exchange:
    """What came back for one POST, whatever its status."""

    response: Response

    @property
    def messages(self) -> list[Any]:
        """The messages in the body, one of JSON or those of a whole event stream.

        Raises:
            Mismatch: it holds something else.
        """
        kind = self.response.headers.get("content-type", "").partition(";")[0].strip()
        if kind == "text/event-stream":
            return read_events(self.response.text, self.response.asked)
        return [self.response.json()]

    def answer(self, method: str, number: int | str) -> Answer:
        """The one answer to the request with this id; notifications in front of it are left out.

        Raises:
            Mismatch: there is none, more than one, or one with another id.
        """
        found = [item for item in self.messages if not (isinstance(item, dict) and "method" in item)]
        problem = answer_problem(found[0]) if len(found) == 1 else f"{len(found)} answers to one request"
        if not problem and (found[0].get("id") != number or type(found[0].get("id")) is not type(number)):
            problem = f"an answer with the id {found[0].get('id')!r}, which was not asked"
        if problem:
            raise Mismatch(
                f"{method} was answered with {problem}",
                expected=f"one answer to {number}",
                observed=f"{self.response.status} {self.response.text!r}",
            )
        return Answer(method, found[0])


class McpHttp:
    """An MCP server on streamable HTTP: each message is a POST, the answer is JSON or a stream of events.

    Args:
        path: the endpoint.
        headers: sent with every request, as in {"mcp-protocol-version": "…"}.
    """

    def __init__(self, program: Program, path: str = "/mcp", headers: Mapping[str, str] | None = None) -> None:
        self.program = program
        self.path = path
        self.headers = {"accept": "application/json, text/event-stream", **(headers or {})}

    def send(
        self, message: Any, headers: Mapping[str, str | None] | None = None, *, seconds: float | None = None
    ) -> Exchange:
        """POST a message, or bytes that may be none, and read what comes back, whatever its status.

        Args:
            headers: beside the usual ones; None leaves one out.

        Raises:
            ProgramTimeout, ProgramCrashed: as `Program.request`; a stream that never ends is not answered in time.
        """
        every = {"content-type": "application/json", **self.headers, **(headers or {})}
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        kept = {name: value for name, value in every.items() if value is not None}
        return Exchange(self.program.post(self.path, body=body, headers=kept, seconds=seconds))

    def request(self, method: str, params: Any = None, *, seconds: float | None = None) -> Answer:
        """Ask and read the whole answer.

        Raises:
            ProgramTimeout, ProgramCrashed: as `send`.
            Mismatch: not 200, or not one answer with this request's id.
        """
        number = secrets.randbelow(2**48)
        message = {"jsonrpc": "2.0", "id": number, "method": method, **({} if params is None else {"params": params})}
        exchange = self.send(message, seconds=seconds)
        if exchange.response.status != 200:
            observed = f"{exchange.response.status} {exchange.response.text!r}"
            raise Mismatch(f"{method} was not answered with 200", expected=200, observed=observed)
        return exchange.answer(method, number)

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            Mismatch: it is not accepted with 202.
        """
        message = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
        reply = self.send(message).response
        if reply.status != 202:
            raise Mismatch(f"the notification {method} was not accepted", expected=202, observed=reply.status)
