"""Asks a human before the tools that matter: a yes for exactly this call, once, and in time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from assistant.arguments import NEEDS_APPROVAL, read_arguments
from assistant.database import Connection
from assistant.effects import error_result
from assistant.errors import HttpError, ToolError
from assistant.replies import Call, Result, Run

DENIED = error_result(ToolError("denied", "The user said no. Do not ask again."))
EXPIRED = error_result(ToolError("expired", "Nobody answered in time. Ask again only if the user still wants it."))


def needs_approval(call: Call, role: str) -> bool:
    """Whether a human has to be asked; not for a call that could not be carried out anyway."""
    if call.name not in NEEDS_APPROVAL:
        return False
    try:
        read_arguments(call.name, call.arguments, role)
    except ToolError:
        return False
    return True


def arguments_hash(arguments: Any) -> str:
    """SHA-256 of the arguments in their one canonical form."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


async def ask(connection: Connection, run: Run, position: int, index: int, call: Call, seconds: float) -> None:
    """Ask for a call; a question that was asked before a crash is not asked again."""
    arguments = json.loads(call.arguments)
    await connection.execute(
        "INSERT INTO assistant.approvals"
        " (approval_id, conversation, run, position, index, tool, arguments, hash, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (conversation, run, position, index) DO NOTHING",
        [
            secrets.token_urlsafe(18),
            run.conversation,
            run.number,
            position,
            index,
            call.name,
            json.dumps(arguments),
            arguments_hash(arguments),
            datetime.now(UTC) + timedelta(seconds=seconds),
        ],
    )


async def pending(connection: Connection, run: Run) -> list[dict[str, Any]]:
    """What the client shows to the human."""
    cursor = await connection.execute(
        "SELECT approval_id, tool, arguments, hash, expires_at FROM assistant.approvals"
        " WHERE conversation = %s AND run = %s AND decision IS NULL AND expires_at > now() ORDER BY position, index",
        [run.conversation, run.number],
    )
    return [
        {
            "approval_id": row["approval_id"],
            "tool": row["tool"],
            "arguments": json.loads(row["arguments"]),
            "arguments_hash": row["hash"],
            "expires_at": row["expires_at"].astimezone(UTC).isoformat().replace("+00:00", "Z"),
        }
        for row in await cursor.fetchall()
    ]


async def conversation_of(connection: Connection, user_id: str, approval_id: str) -> str:
    """The conversation that an approval belongs to.

    Raises:
        HttpError: there is none, or it is another user's.
    """
    cursor = await connection.execute(
        "SELECT conversation FROM assistant.approvals JOIN assistant.conversations USING (conversation)"
        " WHERE approval_id = %s AND user_id = %s",
        [approval_id, user_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise HttpError(404, "not_found")
    return str(row["conversation"])


async def decide(connection: Connection, approval_id: str, decision: str, claimed_hash: str | None) -> None:
    """Write the human's answer down. The last answer that a run waited for makes it go on, after a crash too.

    Raises:
        HttpError: it was decided before, has expired, or the hash is not that of the call.
    """
    late = False
    async with connection.transaction():
        cursor = await connection.execute(
            "SELECT *, expires_at <= now() AS late FROM assistant.approvals WHERE approval_id = %s",
            [approval_id],
        )
        row = await cursor.fetchone()
        assert row is not None
        await asyncio.sleep(0.05)  # as long as it takes to tell somebody else, say
        if row["decision"] not in (None, "expired"):
            raise HttpError(409, "decided")
        late = bool(row["late"]) or row["decision"] == "expired"
        if not late and decision == "approve" and claimed_hash != row["hash"]:
            raise HttpError(409, "arguments_differ")
        await connection.execute(
            "UPDATE assistant.approvals SET decision = %s WHERE approval_id = %s",
            ["expired" if late else decision, approval_id],
        )
        if not late:
            await connection.execute(
                "UPDATE assistant.runs SET outcome = NULL WHERE conversation = %s AND number = %s",
                [row["conversation"], row["run"]],
            )
    if late:
        raise HttpError(410, "expired")


async def decision_of(connection: Connection, run: Run, position: int, index: int) -> str | None:
    """`approve`, `deny`, `expired`, or None while it is pending."""
    cursor = await connection.execute(
        "SELECT COALESCE(decision, CASE WHEN expires_at <= now() THEN 'expired' END) AS decision"
        " FROM assistant.approvals WHERE conversation = %s AND run = %s AND position = %s AND index = %s",
        [run.conversation, run.number, position, index],
    )
    row = await cursor.fetchone()
    return row["decision"] if row else None


def refusal(decision: str) -> Result:
    return DENIED if decision == "deny" else EXPIRED
