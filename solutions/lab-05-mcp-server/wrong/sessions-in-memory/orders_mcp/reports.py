"""Snapshots of shipments, kept in the process."""

from __future__ import annotations

import secrets
from typing import Any

from orders_mcp import cursors
from orders_mcp.database import Connection
from orders_mcp.errors import ToolError
from orders_mcp.principal import User
from orders_mcp.shapes import CreateReport, ReadReport, Report, ReportPage, SearchShipments, Shipment
from orders_mcp.shipments import search

REPORTS: dict[tuple[str, str], list[Shipment]] = {}


async def create(connection: Connection, user: User, wanted: CreateReport) -> Report:
    rows: list[Shipment] = []
    cursor = None
    while True:
        query = SearchShipments(status=wanted.status, limit=100, cursor=cursor)
        page = await search(connection, user, query, b"inner")
        rows += [Shipment.model_validate(each.model_dump()) for each in page.shipments]
        cursor = page.next_cursor
        if cursor is None:
            break
    handle = secrets.token_urlsafe(32)
    REPORTS[user.user_id, handle] = rows
    return Report(report=handle, rows=len(rows))


async def read(connection: Connection, user: User, wanted: ReadReport, key: bytes) -> ReportPage:
    rows: Any = REPORTS.get((user.user_id, wanted.report))
    if rows is None:
        raise ToolError("There is no such report. Make one with orders_create_report.")
    query = ["report", user.user_id, wanted.report]
    after = cursors.read(key, query, wanted.cursor) or 0
    last = after + wanted.limit
    return ReportPage(
        shipments=rows[after:last],
        total=len(rows),
        next_cursor=cursors.write(key, query, last) if last < len(rows) else None,
    )
