"""JSON-RPC messages of an MCP server: what an answer is, and what is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from grader.checking.expect import Mismatch
from grader.checking.strict_json import read_json

Id = int | str | None


@dataclass(frozen=True)
class Answer:
    """The server's answer to one request: a result or an error, never both."""

    asked: str
    message: Mapping[str, Any]

    @property
    def result(self) -> Any:
        """What it answered.

        Raises:
            Mismatch: it answered with an error.
        """
        if "error" in self.message:
            raise Mismatch(f"{self.asked} was answered with an error", expected="a result", observed=self.message)
        return self.message["result"]

    @property
    def error(self) -> Mapping[str, Any]:
        """The error with its `code` and `message`.

        Raises:
            Mismatch: it answered with a result.
        """
        if "error" not in self.message:
            raise Mismatch(f"{self.asked} was answered with a result", expected="an error", observed=self.message)
        error: Mapping[str, Any] = self.message["error"]
        return error


class Mcp(Protocol):
    """What both transports can do."""

    def request(self, method: str, params: Any = None, *, seconds: float | None = None) -> Answer: ...
    def notify(self, method: str, params: Any = None) -> None: ...


def answer_problem(message: object) -> str | None:
    """What is wrong with an answer, as the end of "it wrote …"; None when it is one."""
    match message:
        case {"jsonrpc": "2.0", "id": id_, "result": _, **rest} if not rest and _is_id(id_):
            return None
        case {"jsonrpc": "2.0", "error": {"code": code, "message": str()}, **rest} if (
            type(code) is int and set(rest) <= {"id"} and _is_id(rest.get("id"))
        ):
            return None
        case list():
            return "a list of messages, which MCP does not know"
    return "what is no JSON-RPC answer"


def _is_id(value: object) -> bool:
    return value is None or type(value) in (int, str)


def read_events(text: str, asked: str) -> list[Any]:
    """The messages of a whole event stream.

    Raises:
        Mismatch: an event holds something else than one JSON text.
    """
    messages = []
    for event in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))
        if not data.strip():  # a comment, or an event that only primes a reconnection
            continue
        try:
            messages.append(read_json(data))
        except ValueError as error:
            raise Mismatch(
                f"an event in the answer to {asked} is not JSON: {str(error)[:200]}", observed=data
            ) from error
    return messages
