"""The tools as data: schemas by hand, one SELECT a list, and cursors that are rows."""

from __future__ import annotations

import json
import secrets
import uuid
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any

from jsonschema import Draft202012Validator

from orders_mcp.store import Job, Store

WORDS = ("booked", "in_transit", "customs_hold", "delivered", "cancelled")
PAID = ("open", "paid", "disputed")
ROOM = 90_000


class Wrong(Exception):
    """What the model is told."""


def no_shipment(shipment_id: str) -> Wrong:
    return Wrong(f"No shipment {shipment_id[:50]} can be found. Search with orders_search_shipments.")


# --- schemas ----------------------------------------------------------------------------------------------------


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_DAY = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "description": "as in 2026-11-02"}
_STATUS = {"anyOf": [{"enum": list(WORDS)}, {"type": "array", "items": {"enum": list(WORDS)}, "minItems": 1}]}
_MAYBE = {"type": ["string", "null"]}


def _limit(usual: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}


def _rows(properties: str, **typed: Any) -> dict[str, Any]:
    every = {**{name: _TEXT for name in properties.split()}, **typed}
    return {"type": "array", "items": _object(" ".join(every), **every)}


_EVENT = _rows("at kind place remark")
_CONCISE = "shipment_id status origin destination eta"
_DETAILED = f"{_CONCISE} customer goods note"
_PAGE = {"total": _WHOLE, "next_cursor": _MAYBE}
_SHIPMENTS = {
    "type": "array",
    "items": {"anyOf": [_rows(_DETAILED, weight_kg=_WHOLE)["items"], _rows(_CONCISE)["items"]]},
}
_WHOLE_SHIPMENT = {
    **{name: _TEXT for name in _DETAILED.split()},
    "weight_kg": _WHOLE,
    "last_event": {"anyOf": [_EVENT["items"], {"type": "null"}]},
    "invoices": _rows("invoice_id amount currency status"),
}

# name, description, input, output
_TOOLS: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
    (
        "orders_search_shipments",
        "Shipments that fit all that is given, a page at a time. `total` counts them: no need to read pages for that.",
        _object(
            "",
            status=_STATUS,
            port={**_TEXT, "description": "name or code, origin or destination"},
            eta_from=_DAY,
            eta_to=_DAY,
            detail={"enum": ["concise", "detailed"], "default": "concise"},
            limit=_limit(20, 100),
            cursor=_TEXT,
        ),
        _object("shipments total next_cursor", shipments=_SHIPMENTS, **_PAGE),
    ),
    (
        "orders_get_shipment",
        "One shipment with its last event and invoices.",
        _object("shipment_id", shipment_id=_TEXT),
        _object(" ".join(_WHOLE_SHIPMENT), **_WHOLE_SHIPMENT),
    ),
    (
        "orders_get_history",
        "Events of one shipment, newest first.",
        _object("shipment_id", shipment_id=_TEXT, kind=_TEXT, limit=_limit(50, 200), cursor=_TEXT),
        _object("events total next_cursor", events=_EVENT, **_PAGE),
    ),
    (
        "orders_list_invoices",
        "Invoices and, over all of them, sums by currency.",
        _object("", status={"enum": list(PAID)}, overdue_on=_DAY, limit=_limit(50, 200), cursor=_TEXT),
        _object(
            "invoices total next_cursor sums",
            invoices=_rows("invoice_id shipment_id amount currency status due"),
            sums=_rows("currency amount"),
            **_PAGE,
        ),
    ),
    (
        "orders_create_report",
        "Keep the shipments as they are now, to read them later.",
        _object("", status=_STATUS),
        _object("report rows", report=_TEXT, rows=_WHOLE),
    ),
    (
        "orders_read_report",
        "A page of what orders_create_report kept.",
        _object("report", report=_TEXT, limit=_limit(100, 500), cursor=_TEXT),
        _object("shipments total next_cursor", shipments=_rows(_CONCISE), **_PAGE),
    ),
    (
        "orders_book_pickup",
        "Have a booked shipment picked up. The user is asked before.",
        _object("shipment_id date window", shipment_id=_TEXT, date=_DAY, window={"enum": ["morning", "afternoon"]}),
        _object("pickup_id shipment_id date window", pickup_id=_WHOLE, shipment_id=_TEXT, date=_TEXT, window=_TEXT),
    ),
)
NAMES = {name for name, *_ in _TOOLS}
_BOOKS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False}
LIST = [
    {
        "name": name,
        "description": description,
        "inputSchema": takes,
        "outputSchema": gives,
        "annotations": _BOOKS if name == "orders_book_pickup" else {"readOnlyHint": True},
    }
    for name, description, takes, gives in _TOOLS
]
_CHECKERS = {name: Draft202012Validator(takes) for name, _, takes, _ in _TOOLS}


def expect_fit(name: str, arguments: Any) -> None:
    for error in _CHECKERS[name].iter_errors(arguments):
        where = ".".join(map(str, error.path)) or "arguments"
        words = {"status": PAID if name == "orders_list_invoices" else WORDS}.get(where.partition(".")[0])
        more = f" There are: {', '.join(words)}." if words else ""
        raise Wrong(f"{where}: {error.message[:300]}.{more} Mend it and call again.")
    for argument, value in arguments.items():
        if isinstance(value, str):
            if "\0" in value or any("\ud800" <= each <= "\udfff" for each in value):
                raise Wrong(f"{argument} holds signs that no text has. Mend it and call again.")
            if argument in ("date", "eta_from", "eta_to", "overdue_on"):
                try:
                    date.fromisoformat(value)
                except ValueError as error:
                    raise Wrong(f"{argument}: there is no day {value!r}. Mend it and call again.") from error


# --- tools ----------------------------------------------------------------------------------------------------


def run(store: Store, job: Job, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    expect_fit(name, arguments)
    with store.work(job) as connection:
        user = connection.execute("SELECT * FROM users WHERE user_id = %s", [job.user_id]).fetchone()
        if user is None:
            raise Wrong("This user is not known any more.")
        tool = _Tool(connection, user, {"limit": _usual_limit(name), **arguments})
        return getattr(tool, name.removeprefix("orders_"))()  # type: ignore[no-any-return]


def _usual_limit(name: str) -> int:
    return next(takes["properties"].get("limit", {}).get("default", 0) for each, _, takes, _ in _TOOLS if each == name)


class _Tool:
    def __init__(self, connection: Any, user: dict[str, Any], arguments: dict[str, Any]) -> None:
        self.connection, self.user, self.arguments = connection, user, arguments
        ports = connection.execute("SELECT code, name FROM ports ORDER BY 1").fetchall()
        self.ports = {row["code"]: f"{row['name']} ({row['code']})" for row in ports}
        names = {row["name"].lower(): row["code"] for row in ports}
        self.words = {**names, **{row["code"].lower(): row["code"] for row in ports}}

    def search_shipments(self) -> dict[str, Any]:
        tests, values = self._seen("s"), []
        if status := self._statuses():
            tests.append("s.status = ANY (%s)")
            values.append(status)
        if "port" in self.arguments:
            tests.append("%s IN (s.origin, s.destination)")
            values.append(self._port(self.arguments["port"]))
        for name, sign in (("eta_from", ">="), ("eta_to", "<=")):
            if name in self.arguments:
                tests.append(f"s.eta {sign} %s::date")
                values.append(self.arguments[name])
        source = f"FROM shipments s JOIN customers c USING (customer_id) WHERE {' AND '.join(tests)}"
        total = self._one(f"SELECT count(*) AS n {source}", values)["n"]
        last = self._last()
        rows = self._all(
            f"SELECT s.*, c.name AS customer {source} AND s.shipment_id > %s ORDER BY s.shipment_id LIMIT %s",
            [*values, last or "", self.arguments["limit"] + 1],
        )
        shape = self._detailed if self.arguments.get("detail") == "detailed" else self._concise
        return self._page("shipments", rows, shape, total, lambda row: row["shipment_id"])

    def get_shipment(self) -> dict[str, Any]:
        row = self._shipment()
        events = self._all(
            "SELECT * FROM shipment_events WHERE shipment_id = %s ORDER BY at DESC, event_id DESC LIMIT 1",
            [row["shipment_id"]],
        )
        invoices = self._all("SELECT * FROM invoices WHERE shipment_id = %s ORDER BY invoice_id", [row["shipment_id"]])
        short = ("invoice_id", "amount", "currency", "status")
        return {
            **self._detailed(row),
            "last_event": self._event(events[0]) if events else None,
            "invoices": [{name: _invoice(each)[name] for name in short} for each in invoices],
        }

    def get_history(self) -> dict[str, Any]:
        row = self._shipment()
        tests, values = "shipment_id = %s", [row["shipment_id"]]
        if "kind" in self.arguments:
            tests += " AND kind = %s"
            values.append(self.arguments["kind"])
        total = self._one(f"SELECT count(*) AS n FROM shipment_events WHERE {tests}", values)["n"]
        if last := self._last():
            tests += " AND (at, event_id) < (%s::timestamptz, %s)"
            values += last
        rows = self._all(
            f"SELECT * FROM shipment_events WHERE {tests} ORDER BY at DESC, event_id DESC LIMIT %s",
            [*values, self.arguments["limit"] + 1],
        )
        return self._page(
            "events", rows, self._event, total, lambda each: [each["at"].astimezone(UTC).isoformat(), each["event_id"]]
        )

    def list_invoices(self) -> dict[str, Any]:
        tests, values = self._seen("i"), []
        if "status" in self.arguments:
            tests.append("i.status = %s")
            values.append(self.arguments["status"])
        if "overdue_on" in self.arguments:
            tests.append("i.status IN ('open', 'disputed') AND i.due < %s::date")
            values.append(self.arguments["overdue_on"])
        source = f"FROM invoices i WHERE {' AND '.join(tests)}"
        sums = self._all(
            f"SELECT currency, count(*) AS n, sum(amount_cents) AS cents {source} GROUP BY 1 ORDER BY 1", values
        )
        rows = self._all(
            f"SELECT * {source} AND invoice_id > %s ORDER BY invoice_id LIMIT %s",
            [*values, self._last() or "", self.arguments["limit"] + 1],
        )
        page = self._page("invoices", rows, _invoice, sum(each["n"] for each in sums), lambda each: each["invoice_id"])
        return {**page, "sums": [{"currency": each["currency"], "amount": _money(int(each["cents"]))} for each in sums]}

    def create_report(self) -> dict[str, Any]:
        status = self._statuses() or list(WORDS)
        rows = self._all(
            f"SELECT * FROM shipments s WHERE {' AND '.join(self._seen('s'))} AND status = ANY (%s) ORDER BY 1",
            [status],
        )
        handle = f"report-{uuid.uuid4()}"
        self.connection.execute(
            "INSERT INTO snapshots VALUES (%s, %s, %s)",
            [handle, self.user["user_id"], json.dumps([self._concise(row) for row in rows])],
        )
        return {"report": handle, "rows": len(rows)}

    def read_report(self) -> dict[str, Any]:
        row = self.connection.execute(
            "SELECT shipments FROM snapshots WHERE handle = %s AND user_id = %s",
            [self.arguments["report"], self.user["user_id"]],
        ).fetchone()
        if row is None:
            raise Wrong("No such report. Make one with orders_create_report.")
        kept, start = row["shipments"], self._last() or 0
        rows = [
            {**each, "place": start + n} for n, each in enumerate(kept[start : start + self.arguments["limit"] + 1])
        ]

        def shape(each: dict[str, Any]) -> dict[str, Any]:
            return {name: each[name] for name in _CONCISE.split()}

        return self._page("shipments", rows, shape, len(kept), lambda each: each["place"] + 1)

    # --- pieces -----------------------------------------------------------------------------------------------------

    def _one(self, query: str, values: list[Any]) -> Any:
        return self.connection.execute(query, values).fetchone()

    def _all(self, query: str, values: list[Any]) -> list[dict[str, Any]]:
        return self.connection.execute(query, values).fetchall()  # type: ignore[no-any-return]

    def _seen(self, alias: str) -> list[str]:
        customer = self.user["customer_id"]
        # The id comes from our own users table; it is quoted all the same.
        return ["true"] if customer is None else [f"{alias}.customer_id = '{customer.replace(chr(39), chr(39) * 2)}'"]

    def _statuses(self) -> list[str] | None:
        status = self.arguments.get("status")
        return [status] if isinstance(status, str) else status

    def _port(self, word: str) -> str:
        key = word.strip().lower()
        if key in self.words:
            return str(self.words[key])
        near = get_close_matches(key, self.words, n=3, cutoff=0.4) or list(self.words)
        names = dict.fromkeys(self.ports[self.words[each]] for each in near)
        raise Wrong(f"port: {word[:40]!r} is none that I know. Near to it: {', '.join(names)}.")

    def _shipment(self) -> dict[str, Any]:
        wanted = self.arguments["shipment_id"]
        row = self._one(
            "SELECT s.*, c.name AS customer FROM shipments s JOIN customers c USING (customer_id)"
            f" WHERE s.shipment_id = %s AND {' AND '.join(self._seen('s'))}",
            [wanted],
        )
        if row is None:
            raise no_shipment(wanted)
        return row  # type: ignore[no-any-return]

    def _concise(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "shipment_id": row["shipment_id"],
            "status": row["status"],
            "origin": self.ports[row["origin"]],
            "destination": self.ports[row["destination"]],
            "eta": row["eta"].isoformat(),
        }

    def _detailed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**self._concise(row), **{name: row[name] for name in ("customer", "weight_kg", "goods", "note")}}

    def _event(self, row: dict[str, Any]) -> dict[str, Any]:
        at: datetime = row["at"]
        place = self.ports[row["place"]]
        return {"at": at.astimezone(UTC).isoformat(), "kind": row["kind"], "place": place, "remark": row["remark"]}

    def _question(self) -> str:
        rest = {name: value for name, value in self.arguments.items() if name not in ("cursor", "limit", "detail")}
        return json.dumps([self.user["user_id"], self.user["customer_id"], rest], sort_keys=True)

    def _last(self) -> Any:
        cursor = self.arguments.get("cursor")
        if cursor is None:
            return None
        row = self._one("SELECT last FROM bookmarks WHERE cursor = %s AND question = %s", [cursor, self._question()])
        if row is None:
            raise Wrong("cursor: it is not one that I gave out for this. Begin again without it.")
        return row["last"]

    def _page(self, key: str, rows: list[dict[str, Any]], shape: Any, total: int, mark: Any) -> dict[str, Any]:
        page: list[dict[str, Any]] = []
        room = ROOM
        for row in rows[: self.arguments["limit"]]:
            room -= len(json.dumps(shape(row), ensure_ascii=False)) + 2
            if page and room < 0:
                break
            page.append(shape(row))
        cursor = None
        if len(rows) > len(page):
            cursor = secrets.token_urlsafe(18)
            last = json.dumps(mark(rows[len(page) - 1]))
            self.connection.execute("INSERT INTO bookmarks VALUES (%s, %s, %s)", [cursor, self._question(), last])
        return {key: page, "total": total, "next_cursor": cursor}


def _invoice(row: dict[str, Any]) -> dict[str, Any]:
    words = {name: row[name] for name in ("invoice_id", "shipment_id", "currency", "status")}
    return {**words, "amount": _money(row["amount_cents"]), "due": row["due"].isoformat()}


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
