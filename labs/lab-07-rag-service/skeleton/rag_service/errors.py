"""The failures that a caller is told about, each with the word and the status it is told with."""

from __future__ import annotations


class ServiceError(Exception):
    """Answered as `{"error": word}`."""

    status = 500
    word = "internal"


class UpstreamError(ServiceError):
    """The model or the embeddings failed in spite of retries. Never to be confused with "I don't know"."""

    status = 502
    word = "upstream"


class SpaceMismatch(ServiceError):
    """Vectors of two embedding models would end up side by side, where distances mean nothing."""

    status = 409
    word = "embedding_space"


class NotFound(ServiceError):
    status = 404
    word = "not_found"


class BadRequest(ServiceError):
    status = 400
    word = "bad_request"
