"""What the environment decides, read once at the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The SDKs read their own variables (`ANTHROPIC_*`, `OPENAI_*`); these are ours."""

    port: int
    database_url: str
    embedding_model: str
    answer_model: str = "claude-sonnet-5"
    pool_size: int = 12  # the database allows 20: leave room for a second instance during a deployment

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        return cls(
            port=int(environment["PORT"]),
            database_url=environment["DATABASE_URL"],
            embedding_model=environment.get("EMBEDDING_MODEL", "meridian-embed-1"),
        )
