"""The log of a conversation, and what follows from it: state is never stored, it is read out of the events."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, errors
from psycopg_pool import ConnectionPool

TABLES = """
CREATE TABLE IF NOT EXISTS desk_owner (conversation text PRIMARY KEY, user_id text NOT NULL);
CREATE TABLE IF NOT EXISTS desk_log (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, conversation text NOT NULL, event text NOT NULL);
CREATE INDEX IF NOT EXISTS desk_log_of ON desk_log (conversation, n);
CREATE TABLE IF NOT EXISTS desk_effect (
    conversation text, call_id text, result text NOT NULL, PRIMARY KEY (conversation, call_id));
CREATE TABLE IF NOT EXISTS desk_question (
    approval_id text PRIMARY KEY, conversation text NOT NULL, place text NOT NULL, tool text NOT NULL,
    arguments text NOT NULL, hash text NOT NULL, expires timestamptz NOT NULL, UNIQUE (conversation, place));
CREATE TABLE IF NOT EXISTS desk_decision (
    approval_id text PRIMARY KEY REFERENCES desk_question, decision text NOT NULL);
"""

pool: ConnectionPool[Connection[Any]] = ConnectionPool(
    os.environ.get("DATABASE_URL", ""), min_size=2, max_size=18, open=False
)


def prepare() -> None:
    """Open the pool, make the tables."""
    pool.open(wait=True)
    with pool.connection() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(6)")
        connection.execute(TABLES)


def rows(query: str, *values: Any) -> list[Any]:
    with pool.connection() as connection:
        return connection.execute(query, values).fetchall()


@dataclass
class Turn:
    """One reply of the model: `said` is what goes back to the vendor, `calls` are (id, name, arguments as text)."""

    said: Any
    text: str
    calls: list[list[str]]
    ending: str
    tokens: int
    results: dict[int, str] = field(default_factory=dict)

    def open(self) -> list[int]:
        return [n for n in range(len(self.calls)) if n not in self.results]


@dataclass
class Run:
    """One message and what came of it; `place` counts runs."""

    place: int
    message_id: str
    message: str
    turns: list[Turn] = field(default_factory=list)
    answer: dict[str, Any] | None = None


def append(conversation: str, **event: Any) -> None:
    with pool.connection() as connection:
        connection.execute(
            "INSERT INTO desk_log (conversation, event) VALUES (%s, %s)", [conversation, json.dumps(event)]
        )


def read(conversation: str) -> list[Run]:
    """All runs, folded from the log."""
    runs: list[Run] = []
    for (text,) in rows("SELECT event FROM desk_log WHERE conversation = %s ORDER BY n", conversation):
        match json.loads(text):
            case {"kind": "message", "id": message_id, "text": message}:
                runs.append(Run(len(runs), message_id, message))
            case {"kind": "reply", "turn": turn}:
                runs[-1].turns.append(Turn(**turn))
            case {"kind": "result", "turn": turn, "call": call, "text": result}:
                runs[-1].turns[turn].results.setdefault(call, result)
            case {"kind": "answer", "body": body}:
                runs[-1].answer = body
            case {"kind": "resumed"}:
                runs[-1].answer = None
    return runs


def owns(user_id: str, conversation: str, *, claim: bool = False) -> bool:
    """Whether the conversation is this user's; `claim` makes it so when it is nobody's yet."""
    if claim:
        with pool.connection() as connection:
            connection.execute("INSERT INTO desk_owner VALUES (%s, %s) ON CONFLICT DO NOTHING", [conversation, user_id])
    return rows("SELECT user_id FROM desk_owner WHERE conversation = %s", conversation) == [(user_id,)]


def effect(conversation: str, call_id: str) -> str | None:
    found = rows("SELECT result FROM desk_effect WHERE conversation = %s AND call_id = %s", conversation, call_id)
    return str(found[0][0]) if found else None


def questions(conversation: str, run: Run) -> dict[tuple[int, int], tuple[Any, ...]]:
    """What was asked in a run, by turn and call: (id, tool, arguments, hash, expires, late, decision)."""
    found = rows(
        "SELECT place, approval_id, tool, arguments, hash, expires, expires <= now(), decision FROM desk_question"
        " LEFT JOIN desk_decision USING (approval_id) WHERE conversation = %s AND place LIKE %s ORDER BY place",
        conversation,
        f"{run.place:06d}/%",
    )
    return {(int(place.split("/")[1]), int(place.split("/")[2])): tuple(rest) for place, *rest in found}


def decide(approval_id: str, decision: str) -> bool:
    """Write a decision down; False when there was one."""
    try:
        with pool.connection() as connection:
            connection.execute("INSERT INTO desk_decision VALUES (%s, %s)", [approval_id, decision])
    except errors.UniqueViolation:
        return False
    return True
