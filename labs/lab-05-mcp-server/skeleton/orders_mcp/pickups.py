"""Books a pickup in two rounds: first the human is asked, then their yes is used up together with the booking."""

from __future__ import annotations

from typing import Any


async def ask(*arguments: Any) -> Any:
    """The first round: what the human is asked, and what the client has to bring back."""
    raise NotImplementedError("lab-05, task confirm: ask the user in orders_mcp/pickups.py")


async def book(*arguments: Any) -> Any:
    """The second round: a yes that is whole, fresh, theirs, for this call, and not used yet."""
    raise NotImplementedError("lab-05, task confirm: book the pickup in orders_mcp/pickups.py")
