"""One call to an upstream model and its reply, whoever gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# Of a provider's reply, what a client may act on; cookies and the rest stay here.
PASSED_ON = ("content-type", "request-id", "x-request-id", "retry-after", "retry-after-ms", "x-should-retry")
PASSED_ON_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")


@dataclass(frozen=True)
class Passage:
    """What is asked upstream.

    Attributes:
        path: below the upstream's address, as in `/v1/messages`.
        body: the JSON to send; None for a GET.
        headers: to be sent beside those of the connection; no keys.
        native: whether the reply goes to the program byte by byte, because it speaks the upstream's wire.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)
    native: bool = True


@dataclass(frozen=True)
class UpstreamReply:
    """The reply while it comes: its parts are the body, in order."""

    status: int
    headers: Mapping[str, str]
    parts: AsyncIterator[bytes]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/json")


class Source(Protocol):
    """Whoever answers a passage; raises Rejection when nobody can."""

    async def ask(self, passage: Passage) -> UpstreamReply: ...

    async def close(self) -> None: ...


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a provider's reply that the program gets."""
    found = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in found.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)}


async def body_of(reply: UpstreamReply) -> bytes:
    """The reply's body once all of it has come."""
    return b"".join([part async for part in reply.parts])
