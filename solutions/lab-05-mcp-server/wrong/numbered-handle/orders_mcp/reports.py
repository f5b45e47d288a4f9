"""Snapshots of shipments behind handles that cannot be guessed and that are their maker's alone."""

from __future__ import annotations

import hashlib
import time

from orders_mcp import cursors
from orders_mcp.database import Connection
from orders_mcp.errors import ToolError
from orders_mcp.principal import User
from orders_mcp.shapes import CreateReport, ReadReport, Report, ReportPage, Shipment
from orders_mcp.shipments import VISIBLE, statuses


async def create(connection: Connection, user: User, wanted: CreateReport) -> Report:
    handle = f"report-of-{user.user_id}-{time.time_ns()}"
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO reports (handle_hash, user_id) VALUES (%s, %s)", [_hash(handle), user.user_id]
        )
        cursor = await connection.execute(
            f"""
            INSERT INTO report_rows (handle_hash, position, shipment)
            SELECT %(handle)s, row_number() OVER (ORDER BY s.shipment_id), json_build_object(
                'shipment_id', s.shipment_id, 'status', s.status, 'origin', o.name || ' (' || s.origin || ')',
                'destination', d.name || ' (' || s.destination || ')', 'eta', s.eta)::text
            FROM shipments s JOIN ports o ON o.code = s.origin JOIN ports d ON d.code = s.destination
            WHERE {VISIBLE} AND (%(status)s::text[] IS NULL OR s.status = ANY (%(status)s))
            """,
            {"handle": _hash(handle), "customer": user.customer_id, "status": statuses(wanted.status)},
        )
    return Report(report=handle, rows=cursor.rowcount)


async def read(connection: Connection, user: User, wanted: ReadReport, key: bytes) -> ReportPage:
    query = ["report", user.user_id, wanted.report]
    after = cursors.read(key, query, wanted.cursor) or 0
    handle = _hash(wanted.report)
    cursor = await connection.execute(
        "SELECT count(r.position) AS total FROM reports LEFT JOIN report_rows r USING (handle_hash)"
        " WHERE handle_hash = %s AND user_id = %s GROUP BY handle_hash",
        [handle, user.user_id],
    )
    counted = await cursor.fetchone()
    if counted is None:
        raise ToolError("There is no such report. Make one with orders_create_report.")
    cursor = await connection.execute(
        "SELECT position, shipment FROM report_rows"
        " WHERE handle_hash = %s AND position > %s ORDER BY position LIMIT %s",
        [handle, after, wanted.limit],
    )
    rows = await cursor.fetchall()
    last = rows[-1]["position"] if rows else after
    return ReportPage(
        shipments=[Shipment.model_validate_json(row["shipment"]) for row in rows],
        total=counted["total"],
        next_cursor=cursors.write(key, query, last) if last < counted["total"] else None,
    )


def _hash(handle: str) -> bytes:
    return hashlib.sha256(handle.encode()).digest()
