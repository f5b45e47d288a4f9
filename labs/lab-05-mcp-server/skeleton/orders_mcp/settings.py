"""What the environment says, read once at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """`state_key` is shared by all replicas; the token fields are for HTTP, `user_id` for stdio."""

    transport: str
    port: int
    database_url: str
    state_key: bytes
    token_key: str
    token_issuer: str
    token_audience: str
    user_id: str
    rate_per_minute: int
    confirmation_seconds: float

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
        return Settings(
            transport=environment.get("MCP_TRANSPORT", "http"),
            port=int(environment.get("PORT") or 0),
            database_url=environment["DATABASE_URL"],
            state_key=bytes.fromhex(environment["MCP_STATE_KEY"]),
            token_key=environment.get("TOKEN_KEY", ""),
            token_issuer=environment.get("TOKEN_ISSUER", ""),
            token_audience=environment.get("TOKEN_AUDIENCE", ""),
            user_id=environment.get("MCP_USER", ""),
            rate_per_minute=int(environment.get("RATE_PER_MINUTE") or 600),
            confirmation_seconds=float(environment.get("CONFIRMATION_SECONDS") or 600),
        )
