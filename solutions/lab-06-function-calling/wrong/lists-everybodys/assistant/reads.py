"""The four tools that only look: every query carries the user's customer into its WHERE."""

from __future__ import annotations

from typing import Any

from assistant.arguments import Arguments, FindShipments, GetEvents, GetShipment, ListInvoices
from assistant.database import Connection
from assistant.errors import ToolError
from assistant.users import User

_SHIPMENT = "shipment_id, origin, destination, status, weight_kg, goods, eta::text AS eta, note"
# A clerk's customer is NULL, and sees all.
_VISIBLE = "(%(customer)s::text IS NULL OR customer_id = %(customer)s)"


async def read(connection: Connection, user: User, arguments: Arguments) -> dict[str, Any]:
    """The result of one of the reading tools, with the eyes of the user.

    Raises:
        ToolError: no such row for this user.
    """
    match arguments:
        case FindShipments():
            return await _find_shipments(connection, user, arguments)
        case GetShipment():
            return await _shipment(connection, user, arguments.shipment_id)
        case GetEvents():
            return await _events(connection, user, arguments.shipment_id)
        case ListInvoices():
            return await _invoices(connection, user, arguments)
    raise TypeError(type(arguments).__name__)


def no_shipment(shipment_id: str) -> ToolError:
    """The same words whether it is somebody else's or nobody's."""
    return ToolError("not_found", f"There is no shipment {shipment_id!r}. find_shipments lists those that there are.")


def no_invoice(invoice_id: str) -> ToolError:
    return ToolError("not_found", f"There is no invoice {invoice_id!r}. list_invoices lists those that there are.")


async def _find_shipments(connection: Connection, user: User, arguments: FindShipments) -> dict[str, Any]:
    where = "(%(status)s::text IS NULL OR status = %(status)s)"
    values = {"customer": user.customer_id, "status": arguments.status, "limit": arguments.limit}
    # One statement: rows and their number are of the same moment.
    cursor = await connection.execute(
        f"SELECT {_SHIPMENT}, count(*) OVER () AS total FROM shipments WHERE {where}"
        " ORDER BY shipment_id LIMIT %(limit)s",
        values,
    )
    rows = await cursor.fetchall()
    total = rows[0]["total"] if rows else 0
    return {"shipments": [{key: row[key] for key in row if key != "total"} for row in rows], "total": total}


async def _shipment(connection: Connection, user: User, shipment_id: str) -> dict[str, Any]:
    cursor = await connection.execute(
        f"SELECT {_SHIPMENT} FROM shipments WHERE shipment_id = %(id)s AND {_VISIBLE}",
        {"id": shipment_id, "customer": user.customer_id},
    )
    row = await cursor.fetchone()
    if row is None:
        raise no_shipment(shipment_id)
    return dict(row)


async def _events(connection: Connection, user: User, shipment_id: str) -> dict[str, Any]:
    await _shipment(connection, user, shipment_id)
    cursor = await connection.execute(
        "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS at, kind,"
        " COALESCE(p.name, e.place) AS place, remark"
        " FROM shipment_events e LEFT JOIN ports p ON p.code = e.place WHERE shipment_id = %s ORDER BY e.at, event_id",
        [shipment_id],
    )
    return {"events": [dict(row) for row in await cursor.fetchall()]}


async def _invoices(connection: Connection, user: User, arguments: ListInvoices) -> dict[str, Any]:
    cursor = await connection.execute(
        "SELECT invoice_id, shipment_id, amount_cents, currency, status, due::text AS due FROM invoices"
        f" WHERE {_VISIBLE} AND (%(status)s::text IS NULL OR status = %(status)s) ORDER BY invoice_id",
        {"customer": user.customer_id, "status": arguments.status},
    )
    return {"invoices": [dict(row) for row in await cursor.fetchall()]}
