"""The tool that looks at invoices; money is counted in cents and written as a decimal."""

from __future__ import annotations

from typing import Any

from orders_mcp import cursors, pages
from orders_mcp.database import Connection
from orders_mcp.principal import User
from orders_mcp.shapes import Invoice, InvoicePage, ListInvoices, Sum


def amount(cents: int) -> str:
    """123450 → "1234.50", without a float in between."""
    return f"{cents // 100}.{cents % 100:02d}"


async def listing(connection: Connection, user: User, wanted: ListInvoices, key: bytes) -> InvoicePage:
    query = ["invoices", user.user_id, wanted.status, wanted.overdue_on]
    values = {
        "customer": user.customer_id,
        "status": wanted.status,
        "overdue": wanted.overdue_on,
        "after": cursors.read(key, query, wanted.cursor),
        "limit": wanted.limit + 1,
    }
    where = """
        WHERE (%(customer)s::text IS NULL OR customer_id = %(customer)s)
        AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(overdue)s::date IS NULL OR (status <> 'paid' AND due < %(overdue)s))
    """
    cursor = await connection.execute(
        f"SELECT currency, sum(amount_cents)::bigint AS cents, count(*) AS rows FROM invoices {where}"
        " GROUP BY currency ORDER BY currency",
        values,
    )
    sums = await cursor.fetchall()
    cursor = await connection.execute(
        f"SELECT invoice_id, shipment_id, amount_cents, currency, status, due::text AS due FROM invoices {where}"
        " AND (%(after)s::text IS NULL OR invoice_id > %(after)s) ORDER BY invoice_id LIMIT %(limit)s",
        values,
    )
    found, more = pages.fit(await cursor.fetchall(), wanted.limit, _invoice)
    return InvoicePage(
        invoices=found,
        total=sum(row["rows"] for row in sums),
        next_cursor=cursors.write(key, query, found[-1].invoice_id) if more else None,
        sums=[Sum(currency=row["currency"], amount=amount(row["cents"])) for row in sums],
    )


def _invoice(row: dict[str, Any]) -> Invoice:
    return Invoice(amount=amount(row["amount_cents"]), **{name: row[name] for name in row if name != "amount_cents"})
