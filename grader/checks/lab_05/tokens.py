"""Issues access tokens, good ones and every bad kind."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

READ, BOOK = "orders:read", "orders:book"
BOTH = f"{READ} {BOOK}"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Authority:
    """The one issuer that the server trusts.

    Attributes:
        environment: what the server is told of it.
    """

    def __init__(self, rng: random.Random) -> None:
        self.key = "".join(rng.choices(_ALPHABET, k=48))
        self.issuer = f"https://login-{rng.getrandbits(32):08x}.example"
        self.audience = f"https://orders-{rng.getrandbits(32):08x}.example/mcp"
        self.environment: Mapping[str, str] = {
            "TOKEN_KEY": self.key,
            "TOKEN_ISSUER": self.issuer,
            "TOKEN_AUDIENCE": self.audience,
        }

    def claims(self, user_id: str, scope: str = BOTH, **other: Any) -> dict[str, Any]:
        """The claims of a good token; `other` replaces some, None takes one away."""
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "exp": int(time.time()) + 3600,
            "sub": user_id,
            "scope": scope,
            **other,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, user_id: str, scope: str = BOTH, **other: Any) -> str:
        """A token as this issuer makes it."""
        return jwt.encode(self.claims(user_id, scope, **other), self.key, "HS256")

    def bad_tokens(self, user_id: str, rng: random.Random) -> list[BadToken]:
        """One of each kind that the server must not take."""
        good = self.claims(user_id)
        now = int(time.time())
        stranger = "".join(rng.choices(_ALPHABET, k=48))
        header, payload, signature = self.token(user_id).split(".")
        more = _part({**good, "scope": f"{BOTH} admin"})
        swapped = signature[:8] + ("A" if signature[8] != "A" else "B") + signature[9:]
        return [
            BadToken("none at all", None),
            BadToken("another scheme", f"Basic {self.token(user_id)}"),
            BadToken("a user id in its place", f"Bearer {user_id}"),
            BadToken("the algorithm none", f"Bearer {_part({'alg': 'none', 'typ': 'JWT'})}.{payload}."),
            BadToken("the algorithm none, with a signature", f"Bearer {_part({'alg': 'None'})}.{payload}.{signature}"),
            BadToken("no signature", f"Bearer {header}.{payload}."),
            BadToken("another signature", f"Bearer {header}.{payload}.{swapped}"),
            BadToken("claims that nobody signed", f"Bearer {header}.{more}.{signature}"),
            BadToken("another key", f"Bearer {jwt.encode(good, stranger, 'HS256')}"),
            BadToken("HS512 with the right key", f"Bearer {jwt.encode(good, self.key, 'HS512')}"),
            BadToken("an end that is past", self._bearer(user_id, exp=now - 120)),
            BadToken("no end", self._bearer(user_id, exp=None)),
            BadToken("another issuer", self._bearer(user_id, iss=f"{self.issuer}.other.example")),
            BadToken("no issuer", self._bearer(user_id, iss=None)),
            BadToken("another audience", self._bearer(user_id, aud="https://calendar.example/api")),
            BadToken("an audience that only begins the same", self._bearer(user_id, aud=f"{self.audience}/calendar")),
            BadToken(
                "a list of other audiences", self._bearer(user_id, aud=["https://a.example", f"{self.audience}x"])
            ),
            BadToken("no audience", self._bearer(user_id, aud=None)),
            BadToken("a user that does not exist", self._bearer(f"u-{rng.getrandbits(32):08x}")),
            BadToken("no user", self._bearer(user_id, sub=None)),
        ]

    def _bearer(self, user_id: str, **other: Any) -> str:
        return f"Bearer {self.token(user_id, **other)}"


@dataclass(frozen=True)
class BadToken:
    """What is wrong with it, and the header `Authorization` that brings it (None: there is none)."""

    fault: str
    header: str | None


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
