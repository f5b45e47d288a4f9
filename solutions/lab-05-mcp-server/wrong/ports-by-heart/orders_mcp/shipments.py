"""The tools that look at shipments: every query carries the user's customer into its WHERE."""

from __future__ import annotations

import difflib
from typing import Any

from orders_mcp import cursors, pages
from orders_mcp.database import Connection
from orders_mcp.errors import ToolError
from orders_mcp.invoices import amount
from orders_mcp.principal import User
from orders_mcp.shapes import (
    DetailedShipment,
    Event,
    EventPage,
    GetHistory,
    SearchShipments,
    Shipment,
    ShipmentPage,
    ShortInvoice,
    WholeShipment,
)

# A clerk's customer is NULL, and sees all.
VISIBLE = "(%(customer)s::text IS NULL OR s.customer_id = %(customer)s)"
_COLUMNS = """
    s.shipment_id, s.status, o.name || ' (' || s.origin || ')' AS origin,
    d.name || ' (' || s.destination || ')' AS destination, s.eta::text AS eta,
    c.name AS customer, s.weight_kg, s.goods, s.note
"""
_FROM = """
    FROM shipments s JOIN customers c USING (customer_id)
    JOIN ports o ON o.code = s.origin JOIN ports d ON d.code = s.destination
"""
_PORTS: dict[str, str] = {}
_UTC = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"


def no_shipment(shipment_id: str) -> ToolError:
    """The same words whether it is somebody else's or nobody's."""
    return ToolError(f"There is no shipment {shipment_id!r}. orders_search_shipments lists those that there are.")


def statuses(status: str | list[str] | None) -> list[str] | None:
    """One or a list, as a list; None for all."""
    return [status] if isinstance(status, str) else status


async def search(connection: Connection, user: User, wanted: SearchShipments, key: bytes) -> ShipmentPage:
    query = ["search", user.user_id, wanted.model_dump(exclude={"cursor", "limit", "detail"})]
    values = {
        "customer": user.customer_id,
        "status": statuses(wanted.status),
        "port": await _port_code(connection, wanted.port) if wanted.port else None,
        "from": wanted.eta_from,
        "to": wanted.eta_to,
        "after": cursors.read(key, query, wanted.cursor),
        "limit": wanted.limit + 1,  # one more tells whether there is a next page
    }
    where = f"""
        WHERE {VISIBLE} AND (%(status)s::text[] IS NULL OR s.status = ANY (%(status)s))
        AND (%(port)s::text IS NULL OR %(port)s IN (s.origin, s.destination))
        AND (%(from)s::date IS NULL OR s.eta >= %(from)s) AND (%(to)s::date IS NULL OR s.eta <= %(to)s)
    """
    counted = await _one(connection, f"SELECT count(*) AS total {_FROM} {where}", values)
    page = f"{where} AND (%(after)s::text IS NULL OR s.shipment_id > %(after)s) ORDER BY s.shipment_id LIMIT %(limit)s"
    cursor = await connection.execute(f"SELECT {_COLUMNS} {_FROM} {page}", values)
    kind = DetailedShipment if wanted.detail == "detailed" else Shipment
    found, more = pages.fit(
        await cursor.fetchall(), wanted.limit, lambda row: kind(**{name: row[name] for name in kind.model_fields})
    )
    return ShipmentPage(
        shipments=found,
        total=counted["total"],
        next_cursor=cursors.write(key, query, found[-1].shipment_id) if more else None,
    )


async def get(connection: Connection, user: User, shipment_id: str) -> WholeShipment:
    values = {"id": shipment_id, "customer": user.customer_id}
    row = await _one(connection, f"SELECT {_COLUMNS} {_FROM} WHERE s.shipment_id = %(id)s AND {VISIBLE}", values)
    if row is None:
        raise no_shipment(shipment_id)
    event = await _one(
        connection,
        f"SELECT {_UTC.format('e.at')} AS at, e.kind, p.name || ' (' || e.place || ')' AS place, e.remark"
        " FROM shipment_events e JOIN ports p ON p.code = e.place WHERE e.shipment_id = %(id)s"
        " ORDER BY e.at DESC, e.event_id DESC LIMIT 1",
        values,
    )
    cursor = await connection.execute(
        "SELECT invoice_id, amount_cents, currency, status FROM invoices WHERE shipment_id = %(id)s ORDER BY 1", values
    )
    invoices = [
        ShortInvoice(
            invoice_id=i["invoice_id"], amount=amount(i["amount_cents"]), currency=i["currency"], status=i["status"]
        )
        for i in await cursor.fetchall()
    ]
    return WholeShipment(**row, last_event=Event(**event) if event else None, invoices=invoices)


async def history(connection: Connection, user: User, wanted: GetHistory, key: bytes) -> EventPage:
    query = ["history", user.user_id, wanted.shipment_id, wanted.kind]
    before = cursors.read(key, query, wanted.cursor) or [None, None]
    values = {
        "id": wanted.shipment_id,
        "customer": user.customer_id,
        "kind": wanted.kind,
        "at": before[0],
        "event": before[1],
        "limit": wanted.limit + 1,
    }
    if (
        await _one(connection, f"SELECT 1 AS one FROM shipments s WHERE s.shipment_id = %(id)s AND {VISIBLE}", values)
        is None
    ):
        raise no_shipment(wanted.shipment_id)
    where = "WHERE e.shipment_id = %(id)s AND (%(kind)s::text IS NULL OR e.kind = %(kind)s)"
    counted = await _one(connection, f"SELECT count(*) AS total FROM shipment_events e {where}", values)
    cursor = await connection.execute(
        f"SELECT {_UTC.format('e.at')} AS at, e.kind, p.name || ' (' || e.place || ')' AS place, e.remark,"
        " e.at::text AS exact, e.event_id FROM shipment_events e JOIN ports p ON p.code = e.place"
        f" {where} AND (%(at)s::timestamptz IS NULL OR (e.at, e.event_id) < (%(at)s::timestamptz, %(event)s::bigint))"
        " ORDER BY e.at DESC, e.event_id DESC LIMIT %(limit)s",
        values,
    )
    rows = await cursor.fetchall()
    found, more = pages.fit(rows, wanted.limit, lambda row: Event(**{name: row[name] for name in Event.model_fields}))
    last = rows[len(found) - 1] if found else {}
    return EventPage(
        events=found,
        total=counted["total"],
        next_cursor=cursors.write(key, query, [last["exact"], last["event_id"]]) if more else None,
    )


async def _port_code(connection: Connection, wanted: str) -> str:
    """The code of a port that is named by its code or its name."""
    if not _PORTS:
        cursor = await connection.execute("SELECT code, name FROM ports ORDER BY code")
        _PORTS.update({row["code"]: row["name"] for row in await cursor.fetchall()})
    ports = _PORTS
    for code, name in ports.items():
        if wanted.casefold() in (code.casefold(), name.casefold(), f"{name} ({code})".casefold()):
            return str(code)
    words = {word.casefold(): code for code, name in ports.items() for word in (code, name)}
    close = difflib.get_close_matches(wanted.casefold(), words, n=3, cutoff=0.5)
    names = ", ".join(dict.fromkeys(f"{ports[words[word]]} ({words[word]})" for word in close))
    raise ToolError(
        f"There is no port {wanted[:60]!r}. "
        + (f"Did you mean {names}?" if names else f"There are: {', '.join(f'{n} ({c})' for c, n in ports.items())}.")
    )


async def _one(connection: Connection, query: str, values: dict[str, Any]) -> Any:
    cursor = await connection.execute(query, values)
    return await cursor.fetchone()
