"""What the model is told when a tool cannot do what it asks."""

from __future__ import annotations

LONGEST = 600  # characters of a message


class ToolError(Exception):
    """A result with `isError`: one sentence on what is wrong, one on what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= LONGEST else message[: LONGEST - 1] + "…")
