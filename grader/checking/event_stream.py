"""Server-sent events as a check reads them: one by one while they arrive, strictly, and within one deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from grader.checking.expect import Mismatch, shown
from grader.checking.strict_json import read_json

STREAM_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Event:
    """One event of a stream; its data is JSON, as all labs want it."""

    name: str
    data: Any


class EventStream:
    """The events of one answer. Comments and other fields than `event` and `data` are passed over.

    Attributes:
        kind: the answer's content type.
    """

    def __init__(self, asked: str, kind: str, parts: Iterator[bytes], seconds: float) -> None:
        self._asked = asked
        self.kind = kind
        self._parts = parts
        self._ends = time.monotonic() + seconds
        self._text = bytearray()
        self._taken = 0

    def __iter__(self) -> Iterator[Event]:
        """Events until the stream ends.

        Raises:
            Mismatch: more than 1 MiB, or data that is not JSON.
            httpx2.ReadTimeout: the deadline is over.
        """
        while (block := self._block()) is not None:
            if event := self._event(block):
                yield event

    def _block(self) -> list[str] | None:
        """The lines up to the next empty one; None at the end."""
        lines: list[str] = []
        while (line := self._line()) is not None:
            if line:
                lines.append(line)
            elif lines:
                return lines
        return None  # an event without its empty line was cut off

    def _line(self) -> str | None:
        while b"\n" not in self._text:
            part = next(self._parts, None)
            if part is None:
                return None
            self._taken += len(part)
            if self._taken > STREAM_BYTES:
                raise Mismatch(f"the stream of {self._asked} is larger than 1 MiB", expected="at most 1 MiB")
            if time.monotonic() > self._ends:
                raise httpx2.ReadTimeout("the stream does not come to an end")
            self._text += part
        line, _, rest = bytes(self._text).partition(b"\n")
        self._text = bytearray(rest)
        return line.removesuffix(b"\r").decode("utf-8", "backslashreplace")

    def _event(self, lines: list[str]) -> Event | None:
        name, data = "message", []
        for line in lines:
            key, _, value = line.partition(":")
            if key == "event":
                name = value.removeprefix(" ")
            elif key == "data":
                data.append(value.removeprefix(" "))
        if not data:
            return None
        try:
            return Event(name, read_json("\n".join(data).encode()))
        except ValueError as error:
            raise Mismatch(
                f"an event of {self._asked} holds no JSON",
                expected=f"event: {name} with one JSON object as its data",
                observed=shown("\n".join(data)),
                hint=str(error)[:200],
            ) from error
