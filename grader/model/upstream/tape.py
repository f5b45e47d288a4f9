"""Keeps what an upstream said, and plays it again offline to whoever sends the same request."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grader.errors import UsageError
from grader.model.upstream.passage import Passage, Source, UpstreamReply
from grader.model.wires.wire import REDACTED, Rejection

FORMAT = 1
SHORTEST_SECRET = 8  # a shorter value of a variable is no key, and would be found everywhere
# Fields that say who asks and not what: two runs may differ in them.
VOLATILE = frozenset({"metadata", "user", "safety_identifier"})
WITHIN_TEXT = r'(?:[^"\\]|\\.)+?'  # of JSON
SHOWN = 80  # characters of a difference shown
NAMED = 3  # differences named


@dataclass(frozen=True)
class Take:
    """One recorded call; `number` counts from 1 in its file."""

    number: int
    method: str
    path: str
    body: Any
    status: int
    headers: Mapping[str, str]
    reply: bytes


@dataclass
class Tape:
    """Plays takes: the same request gets them in their order, the last one again and again."""

    takes: tuple[Take, ...]
    _played: dict[str, int] = field(default_factory=dict)

    async def ask(self, passage: Passage) -> UpstreamReply:
        """The recorded reply.

        Raises:
            Rejection: nothing like it was recorded; the message says what differs from the nearest.
        """
        key = _key(passage.method, passage.path, passage.body)
        fitting = [take for take in self.takes if _fits(_key(take.method, take.path, take.body), key)]
        if not fitting:
            raise Rejection(self._miss(passage), status=400)
        turn = self._played.get(key, 0)
        self._played[key] = turn + 1
        take = fitting[min(turn, len(fitting) - 1)]
        return UpstreamReply(take.status, take.headers, _pieces(take))

    async def close(self) -> None:
        """Nothing to close."""

    def _miss(self, passage: Passage) -> str:
        asked = f"{passage.method} {passage.path}"
        near = [
            (list(differences(_steady(take.body), _steady(passage.body))), take)
            for take in self.takes
            if (take.method, take.path) == (passage.method, passage.path)
        ]
        if not near:
            return f"Nothing was recorded for {asked}; recorded are {len(self.takes)} calls of other paths."
        found, take = min(near, key=lambda item: len(item[0]))
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return f"No recorded reply to this {asked}. The nearest, recording #{take.number}, differs in " + (
            "; ".join(found[:NAMED]) + more
        )


@dataclass
class Recording:
    """A source that writes down what another one says; values of `secrets` are never written."""

    source: Source
    path: Path
    secrets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Begin the file, readable by its owner alone."""
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps({"format": FORMAT, "what": "upstream"}) + "\n")

    async def ask(self, passage: Passage) -> UpstreamReply:
        reply = await self.source.ask(passage)
        return UpstreamReply(reply.status, reply.headers, self._kept(passage, reply))

    async def close(self) -> None:
        await self.source.close()

    async def _kept(self, passage: Passage, reply: UpstreamReply) -> AsyncIterator[bytes]:
        parts: list[bytes] = []
        async for part in reply.parts:
            parts.append(part)
            yield part
        # Only what came to its end: half a reply is nothing to work with offline.
        self._write(passage, reply, b"".join(parts))

    def _write(self, passage: Passage, reply: UpstreamReply, body: bytes) -> None:
        try:
            said = {"text": body.decode()}
        except UnicodeDecodeError:
            said = {"base64": base64.b64encode(body).decode()}
        take = {
            "method": passage.method,
            "path": passage.path,
            "body": passage.body,
            "status": reply.status,
            "headers": dict(reply.headers),
            "reply": said,
        }
        line = json.dumps(take)
        for secret in self.secrets:
            line = line.replace(json.dumps(secret)[1:-1], REDACTED)
        with self.path.open("a", encoding="ascii") as file:
            file.write(line + "\n")


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables that look like keys by their names, the longest first."""
    endings = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
    found = {value for name, value in environment.items() if name.upper().endswith(endings)}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST_SECRET), key=len, reverse=True))


def read_tape(path: Path) -> Tape:
    """Read a file that `Recording` wrote.

    Raises:
        UsageError: it is not there, or is no such file.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        head = json.loads(lines[0]) if lines else {}
        if head != {"format": FORMAT, "what": "upstream"}:
            raise ValueError(f"its first line is not that of a recording of format {FORMAT}")
        return Tape(tuple(_takes(lines[1:])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"cannot replay {str(path)!r}: {error}",
            mend="Name a file that `grader up --upstream … --record FILE` has written.",
            slug="replay-unreadable",
        ) from error


def differences(recorded: Any, sent: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, one sentence a place, in the order of the recorded one."""
    if isinstance(recorded, Mapping) and isinstance(sent, Mapping):
        for key in dict.fromkeys([*recorded, *sent]):
            yield from _difference(recorded.get(key, _NOTHING), sent.get(key, _NOTHING), f"{place}.{key}".lstrip("."))
    elif isinstance(recorded, list) and isinstance(sent, list):
        for index in range(max(len(recorded), len(sent))):
            yield from _difference(_at(recorded, index), _at(sent, index), f"{place}.{index}")
    elif recorded != sent or type(recorded) is not type(sent):
        yield f"{place}: recorded {_shown(recorded, sent)}, sent {_shown(sent, recorded)}"


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _difference(recorded: Any, sent: Any, place: str) -> Iterator[str]:
    if _NOTHING in (recorded, sent):
        yield f"{place}: recorded {_shown(recorded)}, sent {_shown(sent)}"
    else:
        yield from differences(recorded, sent, place)


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else _NOTHING


def _shown(value: Any, other: Any = None) -> str:
    """The value, of a long text the part around the place where it parts from the other."""
    if isinstance(value, str) and isinstance(other, str):
        same = next((n for n, pair in enumerate(zip(value, other, strict=False)) if pair[0] != pair[1]), 0)
        start = max(0, same - SHOWN // 4)
        value = ("…" if start else "") + value[start:]
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _steady(body: Any) -> Any:
    return {key: value for key, value in body.items() if key not in VOLATILE} if isinstance(body, Mapping) else body


def _key(method: str, path: str, body: Any) -> str:
    """The canonical form of a request: the order of keys and who asks do not matter."""
    return f"{method} {path} {json.dumps(_steady(body), sort_keys=True)}"


def _fits(recorded: str, sent: str) -> bool:
    """Whether two canonical forms are the same; what was redacted in the recording may be anything that was sent."""
    if REDACTED not in recorded:
        return recorded == sent
    return re.fullmatch(WITHIN_TEXT.join(map(re.escape, recorded.split(REDACTED))), sent) is not None


def _takes(lines: Iterable[str]) -> Iterator[Take]:
    for number, line in enumerate(lines, start=1):
        take = json.loads(line)
        said = take.pop("reply")
        reply = said["text"].encode() if "text" in said else base64.b64decode(said["base64"])
        yield Take(number, reply=reply, **take)


async def _pieces(take: Take) -> AsyncIterator[bytes]:
    """A stream event by event, anything else at once."""
    if "event-stream" in take.headers.get("content-type", ""):
        for event in take.reply.split(b"\n\n"):
            if event:
                yield event + b"\n\n"
    else:
        yield take.reply
