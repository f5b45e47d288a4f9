"""The six tools: JSON Schema on the way in, one transaction a call, `statement_timeout` on all of it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, date
from typing import Any

import psycopg
from jsonschema import Draft202012Validator
from psycopg import Connection

from assistant import log
from assistant.stopping import Stop, Stopped

ID = {"type": "string", "minLength": 1, "maxLength": 40}
STATUSES = ["booked", "in_transit", "customs_hold", "delivered", "cancelled"]


def _tool(text: str, needed: dict[str, Any], optional: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {**needed, **(optional or {})},
        "required": list(needed),
        "additionalProperties": False,
    }
    return text, schema


TOOLS = {
    "find_shipments": _tool(
        "List shipments.",
        {},
        {"status": {"type": "string", "enum": STATUSES}, "limit": {"type": "integer", "minimum": 1, "maximum": 50}},
    ),
    "get_shipment": _tool("One shipment.", {"shipment_id": ID}),
    "get_events": _tool("What happened to a shipment.", {"shipment_id": ID}),
    "list_invoices": _tool("List invoices.", {}, {"status": {"type": "string", "enum": ["open", "paid", "disputed"]}}),
    "book_pickup": _tool(
        "Book a pickup. It really happens.",
        {
            "shipment_id": ID,
            "date": {"type": "string", "description": "YYYY-MM-DD"},
            "window": {"type": "string", "enum": ["morning", "afternoon"]},
        },
    ),
    "issue_credit": _tool(
        "Credit an invoice, in cents. A human is asked.",
        {
            "invoice_id": ID,
            "amount_cents": {"type": "integer", "minimum": 1},
            "reason": {"type": "string", "minLength": 1, "maxLength": 200},
        },
    ),
}
WRITES = {"viewer": set(), "booker": {"book_pickup"}, "clerk": {"book_pickup", "issue_credit"}}
SECONDS = float(os.environ.get("TOOL_SECONDS", "5"))
CHARS = int(os.environ.get("TOOL_CHARS", "8000"))
SHIPMENT = (
    "json_build_object('shipment_id', shipment_id, 'origin', origin, 'destination', destination, 'status', status,"
    " 'weight_kg', weight_kg, 'goods', goods, 'eta', eta, 'note', note)"
)


class Refused(Exception):
    """The model is told this."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.text = error(word, message)
        self.word = word


def error(word: str, message: str) -> str:
    return json.dumps({"error": word, "message": message})


def word_of(result: str) -> str | None:
    """The word of an error in a result's text."""
    try:
        value = json.loads(result)
    except ValueError:
        return None
    return value.get("error") if isinstance(value, dict) else None


def read_arguments(name: str, text: str, role: str) -> dict[str, Any]:
    """The arguments, if the call may be carried out.

    Raises:
        Refused: it may not.
    """
    if name not in TOOLS:
        raise Refused("unknown_tool", f"No such tool. There are: {', '.join(TOOLS)}")
    if name in ("book_pickup", "issue_credit") and name not in WRITES[role]:
        raise Refused("forbidden", "The user may not do that.")
    try:
        arguments = json.loads(text, parse_float=_fraction)
        json.dumps(arguments, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Refused("invalid_arguments", "The arguments are no JSON.") from None
    problems = [
        f"{'/'.join(map(str, problem.path))}: {problem.message}"
        for problem in Draft202012Validator(TOOLS[name][1]).iter_errors(arguments)
    ]
    if name == "book_pickup" and isinstance(arguments, dict) and not _is_day(arguments.get("date")):
        problems.append("date: is no day, write YYYY-MM-DD")
    if not problems and "\0" in "".join(value for value in arguments.values() if isinstance(value, str)):
        problems.append("arguments: hold a NUL character")
    if problems:
        raise Refused("invalid_arguments", "; ".join(problems)[:500])
    return arguments  # type: ignore[no-any-return]


def _fraction(text: str) -> Any:
    """A number with a point: JSON Schema takes 2.0 for an integer, the brief does not."""
    return {"number": text}  # of no type that any field takes


def _is_day(text: object) -> bool:
    try:
        return date.fromisoformat(str(text)).isoformat() == text
    except ValueError:
        return False


def carry_out(user_id: str, conversation: str, call_id: str, name: str, text: str, stop: Stop) -> str:
    """The result of a call, cut to size.

    Raises:
        Stopped: the run was ended meanwhile; nothing has happened.
    """
    ends = time.monotonic() + SECONDS
    try:
        with log.pool.connection(timeout=SECONDS) as connection, connection.transaction():
            with stop.waiting(connection.cancel):
                result = _Call(connection, user_id, ends).run(conversation, call_id, name, text)
            stop.check()
    except Refused as refused:
        result = refused.text
    except psycopg.errors.QueryCanceled:
        stop.check()
        result = error("timeout", "It took too long. Nothing was done.")
    except Stopped:
        raise
    except Exception:
        result = error("failed", "It does not work at the moment. Nothing was done.")
    if len(result) > CHARS:
        notice = f"[truncated: {len(result)} characters in all]"
        result = result[: CHARS - len(notice)] + notice
    return result


class _Call:
    """One call inside its transaction."""

    def __init__(self, connection: Connection[Any], user_id: str, ends: float) -> None:
        self._connection = connection
        self._user_id = user_id
        self._ends = ends
        self._customer: str | None = None

    def _query(self, query: str, **values: Any) -> list[Any]:
        left = max(1, int((self._ends - time.monotonic()) * 1000))
        self._connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{left}ms"])
        return self._connection.execute(query, {"customer": self._customer, **values}).fetchall()

    def run(self, conversation: str, call_id: str, name: str, text: str) -> str:
        ((self._customer, role),) = self._query(
            "SELECT customer_id, role FROM users WHERE user_id = %(user)s", user=self._user_id
        )
        arguments = read_arguments(name, text, role)
        if name not in ("book_pickup", "issue_credit"):
            return json.dumps(getattr(self, name)(**arguments), separators=(",", ":"))
        # Whoever comes second waits here, and then finds what the first one has left.
        self._query("SELECT pg_advisory_xact_lock(hashtextextended(%(key)s, 0))", key=f"{conversation}/{call_id}")
        done = self._query(
            "SELECT result FROM desk_effect WHERE conversation = %(c)s AND call_id = %(id)s", c=conversation, id=call_id
        )
        if done:
            return str(done[0][0])
        result = json.dumps(getattr(self, name)(**arguments))
        self._query(
            "INSERT INTO desk_effect VALUES (%(c)s, %(id)s, %(result)s) RETURNING 1",
            c=conversation,
            id=call_id,
            result=result,
        )
        return result

    def find_shipments(self, status: str | None = None, limit: int = 20) -> Any:
        where = "(%(customer)s::text IS NULL OR customer_id = %(customer)s) AND status = COALESCE(%(status)s, status)"
        ((total, found),) = self._query(
            f"SELECT (SELECT count(*) FROM shipments WHERE {where}), (SELECT COALESCE(json_agg({SHIPMENT} ORDER BY"
            f" shipment_id), '[]') FROM (SELECT * FROM shipments WHERE {where}"
            " ORDER BY shipment_id LIMIT %(limit)s) s)",
            status=status,
            limit=limit,
        )
        return {"shipments": found, "total": total}

    def get_shipment(self, shipment_id: str) -> Any:
        found = self._query(
            f"SELECT {SHIPMENT} FROM shipments WHERE shipment_id = %(id)s"
            " AND (%(customer)s::text IS NULL OR customer_id = %(customer)s) FOR SHARE",
            id=shipment_id,
        )
        if not found:
            raise Refused("not_found", f"There is no shipment {shipment_id}.")
        return found[0][0]

    def get_events(self, shipment_id: str) -> Any:
        self.get_shipment(shipment_id)
        found = self._query(
            "SELECT at, kind, name, remark FROM shipment_events JOIN ports ON code = place"
            " WHERE shipment_id = %(id)s ORDER BY at, event_id",
            id=shipment_id,
        )
        return {
            "events": [
                {"at": at.astimezone(UTC).isoformat(), "kind": kind, "place": place, "remark": remark}
                for at, kind, place, remark in found
            ]
        }

    def list_invoices(self, status: str | None = None) -> Any:
        found = self._query(
            "SELECT json_build_object('invoice_id', invoice_id, 'shipment_id', shipment_id, 'amount_cents',"
            " amount_cents, 'currency', currency, 'status', status, 'due', due) FROM invoices"
            " WHERE (%(customer)s::text IS NULL OR customer_id = %(customer)s)"
            " AND status = COALESCE(%(status)s, status) ORDER BY invoice_id",
            status=status,
        )
        return {"invoices": [row for (row,) in found]}

    def book_pickup(self, shipment_id: str, date: str, window: str) -> Any:
        if self.get_shipment(shipment_id)["status"] != "booked":
            raise Refused("conflict", "Only a booked shipment can be picked up.")
        ((pickup_id,),) = self._query(
            "INSERT INTO pickups (shipment_id, pickup_date, time_window, booked_by)"
            " VALUES (%(id)s, %(date)s, %(window)s, %(user)s) RETURNING pickup_id",
            id=shipment_id,
            date=date,
            window=window,
            user=self._user_id,
        )
        return {"pickup_id": pickup_id}

    def issue_credit(self, invoice_id: str, amount_cents: int, reason: str) -> Any:
        self._query("SELECT pg_advisory_xact_lock(hashtextextended(%(id)s, 1))", id=invoice_id)
        found = self._query(
            "SELECT amount_cents - (SELECT COALESCE(sum(c.amount_cents), 0) FROM credits c"
            " WHERE c.invoice_id = i.invoice_id) FROM invoices i WHERE invoice_id = %(id)s"
            " AND (%(customer)s::text IS NULL OR customer_id = %(customer)s)",
            id=invoice_id,
        )
        if not found:
            raise Refused("not_found", f"There is no invoice {invoice_id}.")
        if found[0][0] < amount_cents:
            raise Refused("conflict", f"Only {found[0][0]} cents are left.")
        ((credit_id,),) = self._query(
            "INSERT INTO credits (invoice_id, amount_cents, reason, issued_by)"
            " VALUES (%(id)s, %(amount)s, %(reason)s, %(user)s) RETURNING credit_id",
            id=invoice_id,
            amount=amount_cents,
            reason=reason,
            user=self._user_id,
        )
        return {"credit_id": credit_id}
