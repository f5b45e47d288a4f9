"""How Anthropic writes errors, request ids, rate limits and the list of models."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from grader.model.wires.wire import JsonObject, Rejection, Vendor

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
MESSAGES = {429: "This request would exceed your organization's rate limit.", 529: "Overloaded"}
LIMITS = {"requests": 4000, "input-tokens": 2_000_000, "output-tokens": 400_000, "tokens": 2_400_000}


class AnthropicVendor(Vendor):
    def error(self, rejection: Rejection, request_id: str) -> JsonObject:
        kind = rejection.kind or KINDS.get(rejection.status, "api_error" if rejection.status >= 500 else KINDS[400])
        message = rejection.message or MESSAGES.get(rejection.status, kind.replace("_", " "))
        error: JsonObject = {"type": kind, "message": message}
        if rejection.details:
            error["details"] = rejection.details
        return {"type": "error", "error": error, "request_id": request_id}

    def headers(self, status: int, request_id: str) -> dict[str, str]:
        soon = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=1)
        headers = {"request-id": request_id, "anthropic-organization-id": "org_meridian"}
        for name, limit in LIMITS.items():
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = "0" if status == 429 else str(limit - 1)
            headers[f"anthropic-ratelimit-{name}-reset"] = soon.isoformat().replace("+00:00", "Z")
        return headers

    def authenticate(self, headers: Mapping[str, str]) -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        bearer = key.strip() if scheme.lower() == "bearer" else ""
        if not bearer and not headers.get("x-api-key", "").strip():
            raise Rejection("x-api-key header is required", status=401)
