"""The learner's MCP server on streamable HTTP: each message is a POST, the answer is JSON or a stream of events."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from grader.checking.expect import Mismatch
from grader.checking.mcp_messages import Answer, answer_problem, read_events
from grader.checking.program import Program


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

    def request(self, method: str, params: Any = None, *, seconds: float | None = None) -> Answer:
        """Ask and read the whole answer.

        Raises:
            ProgramTimeout, ProgramCrashed: as `Program.request`; a stream that never ends is not answered in time.
            Mismatch: not 200, or not one answer with this request's id.
        """
        number = secrets.randbelow(2**48)
        message = {"jsonrpc": "2.0", "id": number, "method": method, **({} if params is None else {"params": params})}
        reply = self.program.post(self.path, json=message, headers=self.headers, seconds=seconds)
        if reply.status != 200:
            raise Mismatch(
                f"{method} was not answered with 200", expected=200, observed=f"{reply.status} {reply.text!r}"
            )
        events = reply.headers.get("content-type", "").partition(";")[0].strip() == "text/event-stream"
        messages = read_events(reply.text, reply.asked) if events else [reply.json()]
        found = [item for item in messages if not (isinstance(item, dict) and "method" in item)]
        problem = answer_problem(found[0]) if len(found) == 1 else f"{len(found)} answers to one request"
        if not problem and (found[0].get("id") != number or type(found[0].get("id")) is not int):
            problem = f"an answer with the id {found[0].get('id')!r}, which was not asked"
        if problem:
            raise Mismatch(f"{method} was answered with {problem}", expected=f"one answer to {number}", observed=found)
        return Answer(method, found[0])

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification.

        Raises:
            Mismatch: it is not accepted with 202.
        """
        message = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
        reply = self.program.post(self.path, json=message, headers=self.headers)
        if reply.status != 202:
            raise Mismatch(f"the notification {method} was not accepted", expected=202, observed=reply.status)
