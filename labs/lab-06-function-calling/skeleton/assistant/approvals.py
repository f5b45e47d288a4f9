"""Asks a human before the tools that matter: a yes for exactly this call, once, and in time."""

from __future__ import annotations

from typing import Any

from assistant.database import Connection


def arguments_hash(arguments: Any) -> str:
    """SHA-256 of the arguments in their one canonical form."""
    raise NotImplementedError("lab-06, task approval: the brief says which form that is")


async def decide(connection: Connection, approval_id: str, decision: str, claimed_hash: str | None) -> None:
    """Write the human's answer down.

    Raises:
        HttpError: it was decided before, has expired, or the hash is not that of the call.
    """
    raise NotImplementedError(
        "lab-06, task approval: look and write in one step, whoever else looks at the same moment"
    )
