"""What can go wrong, sorted by who is told: the client, or the model."""

from __future__ import annotations


class HttpError(Exception):
    """The client gets this status and `{"error": word}`."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status = status
        self.word = word


class UpstreamError(Exception):
    """The model did not answer in spite of retries."""


class ToolError(Exception):
    """The model gets this word and sentence as the result of its call."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
        self.message = message
