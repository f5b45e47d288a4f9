"""The tools, written out by hand: a table of checks for the arguments, and one coroutine for each tool."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, date
from typing import Any

import psycopg
from psycopg.rows import dict_row

from assistant import store

SECONDS = float(os.environ.get("TOOL_SECONDS", "5"))
CHARS = int(os.environ.get("TOOL_CHARS", "8000"))
Check = Callable[[Any], bool]
STATUS = ("booked", "in_transit", "customs_hold", "delivered", "cancelled")


class ToolFault(Exception):
    """A result that is an error."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word
        self.text = fault(word, message)


def fault(word: str, message: str) -> str:
    return json.dumps({"error": word, "message": message}, ensure_ascii=False)


def word_of(result: str) -> str | None:
    try:
        value = json.loads(result)
    except ValueError:
        return None  # it was cut
    return value.get("error") if isinstance(value, dict) else None


def _text(longest: int) -> Check:
    return lambda value: (
        isinstance(value, str) and 1 <= len(value) <= longest and not re.search("[\0\ud800-\udfff]", value)
    )


def _whole(least: int, most: float = float("inf")) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _day(value: Any) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return False
    try:
        return bool(date.fromisoformat(value))
    except ValueError:
        return False


TEXT = {"type": "string", "minLength": 1, "maxLength": 40}
# name: what it does; argument: (needed, schema, check)
TOOLS: dict[str, tuple[str, dict[str, tuple[bool, dict[str, Any], Check]]]] = {
    "find_shipments": (
        "Find shipments, by status.",
        {
            "status": (False, {"type": "string", "enum": list(STATUS)}, _of(*STATUS)),
            "limit": (False, {"type": "integer", "minimum": 1, "maximum": 50}, _whole(1, 50)),
        },
    ),
    "get_shipment": ("Look at one shipment.", {"shipment_id": (True, TEXT, _text(40))}),
    "get_events": ("Look at what happened to a shipment.", {"shipment_id": (True, TEXT, _text(40))}),
    "list_invoices": (
        "List invoices, by status.",
        {
            "status": (
                False,
                {"type": "string", "enum": ["open", "paid", "disputed"]},
                _of("open", "paid", "disputed"),
            )
        },
    ),
    "book_pickup": (
        "Book a pickup of a shipment that is booked.",
        {
            "shipment_id": (True, TEXT, _text(40)),
            "date": (True, {"type": "string", "format": "date"}, _day),
            "window": (True, {"type": "string", "enum": ["morning", "afternoon"]}, _of("morning", "afternoon")),
        },
    ),
    "issue_credit": (
        "Credit an invoice. Needs the approval of a human.",
        {
            "invoice_id": (True, TEXT, _text(40)),
            "amount_cents": (True, {"type": "integer", "minimum": 1}, _whole(1)),
            "reason": (True, {"type": "string", "minLength": 1, "maxLength": 200}, _text(200)),
        },
    ),
}


def schema(name: str) -> dict[str, Any]:
    fields = TOOLS[name][1]
    return {
        "type": "object",
        "properties": {field: about for field, (_, about, _) in fields.items()},
        "required": [field for field, (needed, _, _) in fields.items() if needed],
        "additionalProperties": False,
    }


def checked(name: str, written: str, role: str) -> dict[str, Any]:
    """The arguments of a call that may be carried out.

    Raises:
        ToolFault: it may not.
    """
    if name not in TOOLS:
        raise ToolFault("unknown_tool", f"There are only these tools: {', '.join(TOOLS)}.")
    if (name == "issue_credit" and role != "clerk") or (name == "book_pickup" and role == "viewer"):
        raise ToolFault("forbidden", "This user may not do that; tell them.")
    try:
        arguments = json.loads(written)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ToolFault("invalid_arguments", "The arguments must be one JSON object.")
    fields = TOOLS[name][1]
    bad = [field for field in arguments if field not in fields or not fields[field][2](arguments[field])]
    bad += [field for field, (needed, _, _) in fields.items() if needed and field not in arguments]
    if bad:
        raise ToolFault("invalid_arguments", f"Look at the schema again: {', '.join(bad)[:200]}.")
    return arguments


async def carry_out(user_id: str, conversation: str, call: dict[str, Any]) -> str:
    """The text of the result; what takes too long is cancelled in the database by psycopg."""
    try:
        async with asyncio.timeout(SECONDS), store.pool.connection() as connection, connection.transaction():
            text = await _Tools(connection, user_id).result_of(conversation, call)
    except ToolFault as error:
        text = error.text
    except TimeoutError:
        text = fault("timeout", "It took too long, and was not done.")
    except psycopg.Error:
        text = fault("failed", "This tool is out of order, nothing was done.")
    if len(text) <= CHARS:
        return text
    notice = f"[truncated: {len(text)} characters in all]"
    return text[: CHARS - len(notice)] + notice


class _Tools:
    def __init__(self, connection: psycopg.AsyncConnection[Any], user_id: str) -> None:
        self._connection = connection
        self._user_id = user_id
        self._scope = ""  # the customer whose rows there are; "" for all

    async def _all(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            return await (await cursor.execute(query, values)).fetchall()

    async def result_of(self, conversation: str, call: dict[str, Any]) -> str:
        (user,) = await self._all("SELECT role, customer_id FROM users WHERE user_id = %s", self._user_id)
        self._scope = user["customer_id"] or ""
        arguments = checked(call["name"], call["arguments"], user["role"])
        tool = getattr(self, call["name"])
        if call["name"] not in ("book_pickup", "issue_credit"):
            return json.dumps(await tool(**arguments), ensure_ascii=False, default=str)
        # The key is taken before the deed. Who comes second waits for the first one's end.
        taken = await self._all(
            "INSERT INTO assistant_done VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING 1", conversation, call["id"]
        )
        if not taken:
            query = "SELECT result FROM assistant_done WHERE conversation = %s AND call_id = %s"
            return str((await self._all(query, conversation, call["id"]))[0]["result"])
        text = json.dumps(await tool(**arguments))
        await self._connection.execute(
            "UPDATE assistant_done SET result = %s WHERE conversation = %s AND call_id = %s",
            [text, conversation, call["id"]],
        )
        return text

    async def find_shipments(self, status: str = "%", limit: int = 20) -> Any:
        rows = await self._all(
            "SELECT * FROM shipments WHERE %s IN ('', customer_id) AND status LIKE %s ORDER BY shipment_id",
            self._scope,
            status.replace("_", r"\_"),
        )
        return {"shipments": [_shown(row) for row in rows[:limit]], "total": len(rows)}

    async def get_shipment(self, shipment_id: str) -> Any:
        rows = await self._all(
            "SELECT * FROM shipments WHERE shipment_id = %s AND %s IN ('', customer_id)", shipment_id, self._scope
        )
        if not rows:
            raise ToolFault("not_found", f"No shipment is called {shipment_id}.")
        return _shown(rows[0])

    async def get_events(self, shipment_id: str) -> Any:
        await self.get_shipment(shipment_id)
        rows = await self._all(
            "SELECT at, kind, name AS place, remark FROM shipment_events JOIN ports ON code = place"
            " WHERE shipment_id = %s ORDER BY at, event_id",
            shipment_id,
        )
        return {"events": [{**row, "at": row["at"].astimezone(UTC).isoformat()} for row in rows]}

    async def list_invoices(self, status: str = "%") -> Any:
        rows = await self._all(
            "SELECT * FROM invoices WHERE %s IN ('', customer_id) AND status LIKE %s ORDER BY invoice_id",
            self._scope,
            status,
        )
        return {"invoices": [_shown(row) for row in rows]}

    async def book_pickup(self, shipment_id: str, date: str, window: str) -> Any:
        if (await self.get_shipment(shipment_id))["status"] != "booked":
            raise ToolFault("conflict", "It cannot be picked up in its state.")
        rows = await self._all(
            "INSERT INTO pickups (shipment_id, pickup_date, time_window, booked_by) SELECT %s, %s, %s, %s"
            " RETURNING pickup_id",
            shipment_id,
            date,
            window,
            self._user_id,
        )
        return rows[0]

    async def issue_credit(self, invoice_id: str, amount_cents: int, reason: str) -> Any:
        rows = await self._all(
            "SELECT amount_cents FROM invoices WHERE invoice_id = %s AND %s IN ('', customer_id) FOR NO KEY UPDATE",
            invoice_id,
            self._scope,
        )
        if not rows:
            raise ToolFault("not_found", f"No invoice is called {invoice_id}.")
        given = await self._all("SELECT amount_cents FROM credits WHERE invoice_id = %s", invoice_id)
        if sum(row["amount_cents"] for row in given) + amount_cents > rows[0]["amount_cents"]:
            raise ToolFault("conflict", "That is more than is left of the invoice.")
        rows = await self._all(
            "INSERT INTO credits (invoice_id, amount_cents, reason, issued_by) VALUES (%s, %s, %s, %s)"
            " RETURNING credit_id",
            invoice_id,
            amount_cents,
            reason,
            self._user_id,
        )
        return rows[0]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, date) else value for key, value in row.items() if key != "customer_id"}
