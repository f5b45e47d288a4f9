"""Conversations as they are stored: what was said, asked for and done, each written down when it is known."""

from __future__ import annotations

from typing import Any

from assistant.database import Connection


async def begin(connection: Connection, user_id: str, conversation: str, message_id: str, message: str) -> Any:
    """The run of a message: a new one, or the one that this message began before.

    Raises:
        HttpError: the conversation is another user's, the id was used for another message, an approval is pending, or
            the message was given up for a later one.
    """
    raise NotImplementedError("lab-06, tasks loop and once: what must be known after a kill at any moment?")
