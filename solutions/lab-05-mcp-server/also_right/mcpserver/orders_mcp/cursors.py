"""Cursors: where a list goes on, in the client's hands and still ours: signed, and good for one query only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from orders_mcp.errors import ToolError


def write(key: bytes, query: object, after: object) -> str:
    """The cursor for what follows `after` in this query."""
    payload = json.dumps(after).encode()
    return _encoded(_signature(key, query, payload) + payload)


def read(key: bytes, query: object, cursor: str | None) -> Any:
    """What `after` was, or None for the first page.

    Raises:
        ToolError: it is not a cursor that we gave out for this query.
    """
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        raw = b""
    signature, payload = raw[:32], raw[32:]
    # Base64 has several spellings of the same bytes: only the one that we gave out is ours.
    ours = hmac.compare_digest(signature, _signature(key, query, payload)) and _encoded(raw) == cursor
    if not ours:
        raise ToolError("This cursor is not one of ours for this question. Start again without a cursor.")
    return json.loads(payload)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _signature(key: bytes, query: object, payload: bytes) -> bytes:
    message = json.dumps(query, sort_keys=True, default=str).encode() + b"\n" + payload
    return hmac.new(hashlib.sha256(b"cursor" + key).digest(), message, hashlib.sha256).digest()
