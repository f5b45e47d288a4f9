"""The two tools that change the world: each call at most once, remembered in the transaction that does it."""

from __future__ import annotations

import json
from typing import Any

from assistant.arguments import Arguments, BookPickup, IssueCredit
from assistant.database import Connection
from assistant.errors import ToolError
from assistant.reads import no_invoice, no_shipment
from assistant.replies import Result
from assistant.users import User


async def act_once(connection: Connection, user: User, conversation: str, call_id: str, arguments: Arguments) -> Result:
    """Carry the call out, or give the result of the first time.

    The row in `effects` is claimed first: whoever comes second, in another task or after a crash, waits here until the
    first has committed and then reads its result, or finds nothing and does the work.
    """
    async with connection.transaction():
        cursor = await connection.execute(
            "INSERT INTO assistant.effects (conversation, call_id) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1",
            [conversation, call_id],
        )
        if await cursor.fetchone() is None:
            known = await known_effect(connection, conversation, call_id)
            assert known is not None  # the insert waited for its commit
            return known
        try:
            result = Result(json.dumps(await _act(connection, user, arguments)))
        except ToolError as error:  # a refusal is a result too; it has written nothing
            result = error_result(error)
        await connection.execute(
            "UPDATE assistant.effects SET result = %s, error = %s WHERE conversation = %s AND call_id = %s",
            [result.text, result.error, conversation, call_id],
        )
        return result


async def known_effect(connection: Connection, conversation: str, call_id: str) -> Result | None:
    """The result of a call that was carried out before."""
    cursor = await connection.execute(
        "SELECT result, error FROM assistant.effects WHERE conversation = %s AND call_id = %s",
        [conversation, call_id],
    )
    row = await cursor.fetchone()
    return Result(row["result"], row["error"]) if row else None


def error_result(error: ToolError) -> Result:
    return Result(json.dumps({"error": error.word, "message": error.message}, ensure_ascii=False), error.word)


async def _act(connection: Connection, user: User, arguments: Arguments) -> dict[str, Any]:
    match arguments:
        case BookPickup():
            return await _book_pickup(connection, user, arguments)
        case IssueCredit():
            return await _issue_credit(connection, user, arguments)
    raise TypeError(type(arguments).__name__)


async def _book_pickup(connection: Connection, user: User, wanted: BookPickup) -> dict[str, Any]:
    # FOR SHARE: the status cannot change before our row is there.
    cursor = await connection.execute(
        "SELECT status FROM shipments WHERE shipment_id = %(id)s"
        " AND (%(customer)s::text IS NULL OR customer_id = %(customer)s) FOR SHARE",
        {"id": wanted.shipment_id, "customer": user.customer_id},
    )
    shipment = await cursor.fetchone()
    if shipment is None:
        raise no_shipment(wanted.shipment_id)
    cursor = await connection.execute(
        "INSERT INTO pickups (shipment_id, pickup_date, time_window, booked_by) VALUES (%s, %s, %s, %s)"
        " RETURNING pickup_id",
        [wanted.shipment_id, wanted.date, wanted.window, user.user_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    return {"pickup_id": row["pickup_id"]}


async def _issue_credit(connection: Connection, user: User, wanted: IssueCredit) -> dict[str, Any]:
    # FOR UPDATE: credits of one invoice are issued one after another, so that their sum can be trusted.
    cursor = await connection.execute(
        "SELECT amount_cents FROM invoices WHERE invoice_id = %(id)s"
        " AND (%(customer)s::text IS NULL OR customer_id = %(customer)s) FOR UPDATE",
        {"id": wanted.invoice_id, "customer": user.customer_id},
    )
    invoice = await cursor.fetchone()
    if invoice is None:
        raise no_invoice(wanted.invoice_id)
    cursor = await connection.execute(
        "SELECT COALESCE(sum(amount_cents), 0)::bigint AS given FROM credits WHERE invoice_id = %s", [wanted.invoice_id]
    )
    credits = await cursor.fetchone()
    assert credits is not None
    left = invoice["amount_cents"] - credits["given"]
    if wanted.amount_cents > left:
        raise ToolError("conflict", f"Of {wanted.invoice_id} only {left} cents are left to be credited.")
    cursor = await connection.execute(
        "INSERT INTO credits (invoice_id, amount_cents, reason, issued_by) VALUES (%s, %s, %s, %s) RETURNING credit_id",
        [wanted.invoice_id, wanted.amount_cents, wanted.reason, user.user_id],
    )
    row = await cursor.fetchone()
    assert row is not None
    return {"credit_id": row["credit_id"]}
