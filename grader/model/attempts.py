"""Counts attempts: how often one state of a conversation has been sent in a row without success."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grader.model.journal import Request


class Attempts:
    """Not thread-safe: the journal holds its lock."""

    def __init__(self) -> None:
        self._failures: dict[bytes, int] = {}

    def number_of(self, request: Request) -> int:
        """1 for a first try; the SDKs say of a retry which one it is, of others the journal knows."""
        told = request.headers.get("x-stainless-retry-count", "0")
        failures = self._failures.get(_state(request), 0)
        return 1 + max(failures, int(told) if told.isascii() and told.isdigit() and len(told) < 4 else 0)

    def ended(self, request: Request, *, failed: bool) -> None:
        """A try came to its end."""
        state = _state(request)
        if failed:
            self._failures[state] = self._failures.get(state, 0) + 1
        else:
            self._failures.pop(state, None)


def _state(request: Request) -> bytes:
    """A digest of what the model reads: another model, a higher limit or another header is still the same try."""
    words = [request.wire, request.path, request.system, *request.inputs]
    for message in request.messages:
        words += [message.role, *(f"{block.kind}:{block.id}:{block.text}" for block in message.blocks)]
    return hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=16).digest()
