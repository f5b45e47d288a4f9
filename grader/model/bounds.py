"""How much the double takes in: beyond it there is an answer in the vendor's shape, and no memory lost."""

from __future__ import annotations

from typing import Any

BODY_LIMIT = 8 * 1024 * 1024
# Bodies that are being read or answered, all together; 500 clients may each send a big one.
IN_FLIGHT_LIMIT = 96 * 1024 * 1024
# Ours: deeper than any prompt, and shallow enough for every program of ours that walks through it.
DEEPEST = 128
# What an empty list or object costs in memory, beside the bytes that it was sent in.
CONTAINER_BYTES = 64
# How long a client may keep silent in the middle of a body.
SILENCE_SECONDS = 30.0


def weight(raw: bytes) -> int:
    """About how many bytes a body takes once it has been read."""
    return len(raw) + CONTAINER_BYTES * (raw.count(b"[") + raw.count(b"{"))


def is_too_deep(raw: bytes, body: Any) -> bool:
    """Whether a parsed body is nested deeper than DEEPEST; `raw` is what it was parsed from."""
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return False
    level, depth = [body], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            return True
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, (dict, list))
        ]
    return False


class Allowance:
    """Counts the bytes of bodies in flight; used on the server's loop only."""

    def __init__(self, limit: int = IN_FLIGHT_LIMIT) -> None:
        self._left = limit

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes more; then they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size
