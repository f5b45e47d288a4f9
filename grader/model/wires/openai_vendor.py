"""How OpenAI writes errors, request ids, rate limits and the list of models."""

from __future__ import annotations

from collections.abc import Mapping

from grader.model.wires.wire import JsonObject, Rejection, Vendor

KINDS = {
    429: "requests",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
    529: "server_error",
}
CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
MESSAGES = {
    429: "Rate limit reached for requests. Please try again later.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
}


class OpenAIVendor(Vendor):
    def error(self, rejection: Rejection, request_id: str) -> JsonObject:  # noqa: ARG002  the id is in a header only
        status = rejection.status
        return {
            "error": {
                "message": rejection.message or MESSAGES.get(status, f"The server answered with status {status}."),
                "type": rejection.kind or KINDS.get(status, "invalid_request_error"),
                "param": rejection.param,
                "code": rejection.code or CODES.get(status),
            }
        }

    def headers(self, status: int, request_id: str) -> dict[str, str]:
        left = status != 429
        return {
            "x-request-id": request_id,
            "openai-version": "2020-10-01",
            "openai-organization": "meridian",
            "openai-processing-ms": "1",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999" if left else "0",
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-tokens": "1999000" if left else "0",
            "x-ratelimit-reset-tokens": "1ms",
        }

    def authenticate(self, headers: Mapping[str, str]) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Rejection(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                status=401,
                kind="invalid_request_error",
            )
