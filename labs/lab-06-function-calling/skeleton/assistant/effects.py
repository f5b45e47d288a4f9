"""The two tools that change the world: each call at most once."""

from __future__ import annotations

from typing import Any

from assistant.database import Connection
from assistant.replies import Result
from assistant.users import User


async def act_once(connection: Connection, user: User, conversation: str, call_id: str, arguments: Any) -> Result:
    """Carry the call out, or give the result of the first time."""
    raise NotImplementedError("lab-06, task once: which transaction holds the effect, and which the memory of it?")
