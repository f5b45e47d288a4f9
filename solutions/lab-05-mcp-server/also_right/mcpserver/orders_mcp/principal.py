"""Who asks: what their token says, and what the database knows of them now."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from orders_mcp.database import Connection
from orders_mcp.settings import Settings

READ, BOOK = "orders:read", "orders:book"
SCOPES = (READ, BOOK)


class BadTokenError(Exception):
    """No token of ours: the caller is nobody."""


@dataclass(frozen=True)
class Claims:
    """A token that holds: who it is for, and what it may be used for."""

    user_id: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class User:
    """`customer_id` is None for Meridian's clerks, who see every customer."""

    user_id: str
    customer_id: str | None
    role: str


def read_token(settings: Settings, header: str | None) -> Claims:
    """The claims of an Authorization header.

    Raises:
        BadTokenError: it is missing, or not a token for *this* server from the one issuer that we trust.
    """
    kind, _, token = (header or "").partition(" ")
    if kind.lower() != "bearer":
        raise BadTokenError
    try:
        claims = jwt.decode(
            token.strip(),
            settings.token_key,
            algorithms=["HS256"],  # never what the token itself asks for
            audience=settings.token_audience,
            issuer=settings.token_issuer,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except jwt.PyJWTError as error:
        raise BadTokenError from error
    scope = claims.get("scope")
    return Claims(str(claims["sub"]), frozenset(scope.split() if isinstance(scope, str) else ()))


async def find_user(connection: Connection, user_id: str) -> User | None:
    """The user as the database knows them now: roles change, people leave."""
    if "\0" in user_id:
        return None
    cursor = await connection.execute("SELECT user_id, customer_id, role FROM users WHERE user_id = %s", [user_id])
    row = await cursor.fetchone()
    return User(**row) if row else None
