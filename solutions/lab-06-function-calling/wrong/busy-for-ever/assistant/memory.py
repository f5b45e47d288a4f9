"""Conversations as they are stored: runs, replies, calls and their results, each written down when it is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from assistant.approvals import decision_of, refusal
from assistant.database import Connection
from assistant.effects import known_effect
from assistant.errors import HttpError
from assistant.replies import Call, Reply, Result, Run, Step

NOT_RUN = Result(json.dumps({"error": "not_run", "message": "This call was not carried out."}), "not_run")


async def begin(connection: Connection, user_id: str, conversation: str, message_id: str, message: str) -> Run:
    """The run of a message: a new one, or the one that this message began before.

    Raises:
        HttpError: the conversation is another user's, the id was used for another message, an approval is pending, or
            the message was given up for a later one.
    """
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO assistant.conversations (conversation, user_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [conversation, user_id],
        )
        await expect_owner(connection, user_id, conversation, lock=True)
        runs = await load(connection, conversation)
        for run in runs:
            if run.message_id == message_id:
                if run.message != message:
                    raise HttpError(409, "message_differs")
                if run.outcome is None and run is not runs[-1]:
                    raise HttpError(409, "superseded")
                return run
        if await pending_approval(connection, conversation):
            raise HttpError(409, "awaiting_approval")
        if runs:
            await close_open_calls(connection, runs[-1])  # it was interrupted, or an approval of it has expired
        number = len(runs)
        await connection.execute(
            "INSERT INTO assistant.runs (conversation, number, message_id, message) VALUES (%s, %s, %s, %s)",
            [conversation, number, message_id, message],
        )
        return Run(conversation, number, message_id, message)


async def mark_busy(connection: Connection, conversation: str) -> None:
    """Nobody else may work on it.

    Raises:
        HttpError: somebody does.
    """
    cursor = await connection.execute(
        "INSERT INTO assistant.busy VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1", [conversation]
    )
    if await cursor.fetchone() is None:
        raise HttpError(409, "busy")


async def mark_idle(connection: Connection, conversation: str) -> None:
    await connection.execute("DELETE FROM assistant.busy WHERE conversation = %s", [conversation])


async def expect_owner(connection: Connection, user_id: str, conversation: str, *, lock: bool = False) -> None:
    """Raise 404 unless the conversation is there and the user's."""
    cursor = await connection.execute(
        "SELECT user_id FROM assistant.conversations WHERE conversation = %s" + (" FOR UPDATE" if lock else ""),
        [conversation],
    )
    row = await cursor.fetchone()
    if row is None or row["user_id"] != user_id:
        raise HttpError(404, "not_found")


async def load(connection: Connection, conversation: str) -> list[Run]:
    """All runs of a conversation, in order, with what was done for them."""
    runs = await _rows(connection, "SELECT * FROM assistant.runs WHERE conversation = %s ORDER BY number", conversation)
    replies = await _rows(
        connection, "SELECT * FROM assistant.replies WHERE conversation = %s ORDER BY run, position", conversation
    )
    calls = await _rows(
        connection, "SELECT * FROM assistant.calls WHERE conversation = %s ORDER BY run, position, index", conversation
    )
    return [
        Run(
            conversation,
            run["number"],
            run["message_id"],
            run["message"],
            json.loads(run["outcome"]) if run["outcome"] else None,
            tuple(
                _step(row, [c for c in calls if (c["run"], c["position"]) == (row["run"], row["position"])])
                for row in replies
                if row["run"] == run["number"]
            ),
        )
        for run in runs
    ]


async def add_reply(connection: Connection, run: Run, wire: str, reply: Reply) -> None:
    """Remember a reply before any of its calls is carried out."""
    position = len(run.steps)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO assistant.replies VALUES (%s, %s, %s, %s, %s)",
            [run.conversation, run.number, position, wire, json.dumps(asdict(reply))],
        )
        for index, call in enumerate(reply.calls):
            await connection.execute(
                "INSERT INTO assistant.calls (conversation, run, position, index, call_id, name, arguments)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                [run.conversation, run.number, position, index, *map(_clean, (call.id, call.name, call.arguments))],
            )


async def add_result(connection: Connection, run: Run, position: int, index: int, result: Result) -> None:
    await connection.execute(
        "UPDATE assistant.calls SET result = %s, error = %s"
        " WHERE conversation = %s AND run = %s AND position = %s AND index = %s AND result IS NULL",
        [result.text, result.error, run.conversation, run.number, position, index],
    )


async def close_open_calls(connection: Connection, run: Run) -> None:
    """Answer what is still open: with what is known of an effect that happened, else with why nothing did.

    A conversation in which a call stays unanswered would be refused by the vendors for ever.
    """
    for step in run.steps:
        for index in step.open_calls:
            decision = await decision_of(connection, run, step.position, index)
            done = await known_effect(connection, run.conversation, step.reply.calls[index].id)
            nothing = refusal(decision) if decision in ("deny", "expired") else NOT_RUN
            await add_result(connection, run, step.position, index, done or nothing)


async def end(connection: Connection, run: Run, outcome: dict[str, Any]) -> None:
    """Remember what the client is answered: the same message gets the same answer."""
    await connection.execute(
        "UPDATE assistant.runs SET outcome = %s WHERE conversation = %s AND number = %s",
        [json.dumps(outcome), run.conversation, run.number],
    )


async def lock(connection: Connection, run: Run) -> None:
    """Keep others from ending the run or taking it up until our transaction ends."""
    await connection.execute(
        "SELECT 1 FROM assistant.runs WHERE conversation = %s AND number = %s FOR UPDATE",
        [run.conversation, run.number],
    )


async def pending_approval(connection: Connection, conversation: str) -> bool:
    """Whether a human is still asked and may still answer."""
    rows = await _rows(
        connection,
        "SELECT 1 FROM assistant.approvals WHERE conversation = %s AND decision IS NULL AND expires_at > now()",
        conversation,
    )
    return bool(rows)


async def _rows(connection: Connection, query: str, *values: Any) -> Sequence[dict[str, Any]]:
    cursor = await connection.execute(query, values)
    return await cursor.fetchall()


def _step(row: dict[str, Any], calls: Sequence[dict[str, Any]]) -> Step:
    record = json.loads(row["reply"])
    reply = Reply(**{**record, "calls": tuple(Call(**call) for call in record["calls"])})
    results = tuple(None if c["result"] is None else Result(c["result"], c["error"]) for c in calls)
    return Step(row["position"], row["wire"], reply, results)


def _clean(text: str) -> str:
    """What a text column can hold; the reply itself is kept exactly, as JSON with escapes."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
