"""Who asks, and which rows exist for them."""

from __future__ import annotations

from dataclasses import dataclass

from assistant.database import Connection


@dataclass(frozen=True)
class User:
    """`customer_id` is None for Meridian's clerks, who see every customer."""

    user_id: str
    customer_id: str | None
    role: str


async def find_user(connection: Connection, user_id: str) -> User | None:
    """The user as the database knows them now: roles change."""
    raise NotImplementedError("lab-06, task authority: look the user up; think about when this has to be done")
