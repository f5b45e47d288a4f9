"""Task tools: seven tools, right to the row and to the cent, whatever is asked and whoever else writes."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from grader.checking import check, expect, expect_equal
from grader.checking.freight import TODAY, Shipment, User

from .rows import GROWING, LONG, MOVING, SNAPSHOT, Facts, expect_rows, invoice, money, read_event, sums
from .server import TOOLS, Server

STATUSES = ("booked", "in_transit", "customs_hold", "delivered", "cancelled")
SEARCH, GET, HISTORY, INVOICES, CREATE, READ, BOOK = TOOLS


@check(task="tools")
def finds_shipments(server: Server, rng: random.Random) -> None:
    """A search finds exactly the shipments that fit status, port and days, concise or detailed, with their total."""
    facts = Facts(server.world)
    _, reader = facts.reader(rng)
    for user in (reader, facts.clerk):
        seen = facts.shipments(user)
        for arguments, fits in _searches(rng, seen, facts):
            wanted = [each for each in seen if fits(each)]
            for detail, shape in (("concise", facts.concise), ("detailed", facts.detailed)):
                given = {**arguments, **({"detail": detail} if detail != "concise" or rng.random() < 0.5 else {})}
                found = server.call(user, SEARCH, **given).found
                limit = arguments.get("limit", 20)
                what = f"orders_search_shipments {json.dumps(given)} of a {user.role}"
                expect_equal(found["total"], len(wanted), f"total of {what}")
                expect_rows(found["shipments"], [shape(each) for each in wanted[:limit]], what)
                expect(
                    (found["next_cursor"] is None) is (len(wanted) <= limit),
                    f"next_cursor of {what}",
                    expected="null on the last page, and nowhere else",
                    observed=found["next_cursor"],
                )


def _searches(
    rng: random.Random, seen: list[Shipment], facts: Facts
) -> list[tuple[dict[str, Any], Callable[[Shipment], bool]]]:
    one = rng.choice(seen)
    code = one.origin
    name = next(port.name for port in facts.world.ports if port.code == code)
    status, pair = rng.choice(STATUSES), rng.sample(STATUSES, 2)
    day = rng.choice(seen).eta
    until = day + timedelta(days=rng.randrange(0, 25))

    def through(each: Shipment) -> bool:
        return code in (each.origin, each.destination)

    return [
        ({}, lambda _: True),
        ({"limit": 100}, lambda _: True),
        ({"status": status}, lambda each: each.status == status),
        ({"status": pair}, lambda each: each.status in pair),
        ({"status": [status], "limit": 1}, lambda each: each.status == status),
        ({"port": code}, through),
        ({"port": name, "limit": 50}, through),
        ({"port": name.upper()}, through),
        ({"port": code.lower()}, through),
        ({"eta_from": day.isoformat()}, lambda each: each.eta >= day),
        ({"eta_to": day.isoformat()}, lambda each: each.eta <= day),
        ({"eta_from": day.isoformat(), "eta_to": until.isoformat()}, lambda each: day <= each.eta <= until),
        ({"eta_from": day.isoformat(), "eta_to": day.isoformat()}, lambda each: each.eta == day),
        (
            {"port": name, "status": one.status, "eta_from": one.eta.isoformat()},
            lambda each: through(each) and each.status == one.status and each.eta >= one.eta,
        ),
        ({"eta_from": "2031-01-01"}, lambda _: False),
    ]


@check(task="tools", after=("finds_shipments",))
def pages_show_every_row_once(server: Server, rng: random.Random) -> None:
    """All pages together are the whole list in order, with one total, also for a clerk with hundreds of rows."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    clerk = facts.clerk
    long = server.world.long_history(server.world.customers[rng.choice((0, 1))])
    lists: list[tuple[User, str, str, dict[str, Any], list[Any]]] = [
        (user, SEARCH, "shipments", {"limit": 3}, [facts.concise(each) for each in facts.shipments(user)]),
        (user, INVOICES, "invoices", {"limit": 4}, [invoice(each) for each in facts.invoices(user)]),
        (clerk, SEARCH, "shipments", {"limit": 90}, [facts.concise(each) for each in facts.shipments(clerk)]),
        (clerk, INVOICES, "invoices", {"limit": 70}, [invoice(each) for each in facts.invoices(clerk)]),
        (clerk, HISTORY, "events", {"shipment_id": long.shipment_id, "limit": 150}, facts.events(long)),
    ]
    for who, tool, key, arguments, expected in lists:
        rows: list[Any] = []
        totals = set()
        for page in server.pages(who, tool, key, **arguments):
            expect(len(page[key]) <= arguments["limit"], f"a page of {tool} is longer than its limit", observed=page)
            rows += [read_event(each) for each in page[key]] if key == "events" else page[key]
            totals.add(page["total"])
        expect_rows(rows, expected, f"all pages of {tool} {json.dumps(arguments)} together")
        expect_equal(totals, {len(expected)}, f"the totals on the pages of {tool}")


@check(task="tools", after=("pages_show_every_row_once",))
def pages_hold_while_rows_are_added(server: Server, rng: random.Random) -> None:
    """Rows that are added in front of the next page move nothing: what was there is shown once."""
    facts = Facts(server.world)
    customer, user = facts.own(GROWING)
    shipments = facts.shipments(user)
    first = server.call(user, SEARCH, limit=3).found
    invoices = server.call(user, INVOICES, limit=3).found
    added = [f"MF-0{rng.randrange(10_000, 99_999)}" for _ in range(2)]
    database = server.stage.database
    for shipment_id in added:
        database.change(
            "INSERT INTO public.shipments"
            " (shipment_id, customer_id, origin, destination, status, weight_kg, goods, eta)"
            " VALUES (%s, %s, 'NLRTM', 'DEHAM', 'cancelled', 10, 'paper', '2026-11-20')",
            [shipment_id, customer.customer_id],
        )
        database.change(
            "INSERT INTO public.invoices VALUES (%s, %s, %s, 100, %s, 'paid', '2026-11-20')",
            [f"INV-0{shipment_id[-5:]}", shipment_id, customer.customer_id, customer.currency],
        )
    try:
        rest = server.call(user, SEARCH, limit=100, cursor=first["next_cursor"]).found
        expect_rows(
            [*first["shipments"], *rest["shipments"]],
            [facts.concise(each) for each in shipments],
            "two pages of orders_search_shipments, between which rows were added in front",
            hint="A page begins behind the last row of the one before, not at a number of rows.",
        )
        more = server.call(user, INVOICES, limit=200, cursor=invoices["next_cursor"]).found
        expect_rows(
            [*invoices["invoices"], *more["invoices"]],
            [invoice(each) for each in facts.invoices(user)],
            "two pages of orders_list_invoices, between which rows were added in front",
        )
    finally:
        for shipment_id in added:
            database.change("DELETE FROM public.invoices WHERE shipment_id = %s", [shipment_id])
            database.change("DELETE FROM public.shipments WHERE shipment_id = %s", [shipment_id])


@check(task="tools", after=("finds_shipments",))
def shows_one_shipment_whole(server: Server, rng: random.Random) -> None:
    """A shipment comes with its last event and its invoices, and as a resource with the same content."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    for each in (*(rng.choice(facts.shipments(user, status)) for status in STATUSES), facts.shipments(user)[-1]):
        found = server.call(user, GET, shipment_id=each.shipment_id).found
        seen = {**found, "last_event": read_event(found["last_event"]) if found["last_event"] else None}
        expect_equal(seen, facts.whole(each), f"orders_get_shipment {each.shipment_id}")
        uri = f"orders://shipments/{each.shipment_id}"
        result = server.ask("resources/read", {"uri": uri}, user=user).result
        expect_equal(result.get("cacheScope"), "private", "the cacheScope of a resource that not everybody may see")
        content = (result.get("contents") or [{}])[0]
        expect_equal(content.get("mimeType"), "application/json", f"the type of {uri}")
        expect_equal(json.loads(content.get("text") or "null"), found, f"the text of {uri}")
    customer, other = facts.own(MOVING)
    database = server.stage.database
    database.change(
        "INSERT INTO public.shipments (shipment_id, customer_id, origin, destination, status, weight_kg, goods, eta)"
        " VALUES ('MF-000001', %s, 'NLRTM', 'DEHAM', 'booked', 10, %s, '2026-11-20')",
        [customer.customer_id, odd := f'"paper" <b>\\n</b> \u2028 {rng.getrandbits(20)} über \U0001f6a2'],
    )
    try:
        found = server.call(other, GET, shipment_id="MF-000001").found
        expect_equal(found["last_event"], None, "the last event of a shipment that has none")
        expect_equal(found["invoices"], [], "the invoices of a shipment that has none")
        expect_equal(found["goods"], odd, "goods with quotes, markup and other signs")
    finally:
        database.change("DELETE FROM public.shipments WHERE shipment_id = 'MF-000001'")


@check(task="tools", after=("finds_shipments",))
def reads_a_history_backwards(server: Server, rng: random.Random) -> None:
    """A history begins with the latest event; of one kind where one is named; equal times lose no event."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    held = rng.choice(facts.shipments(user, "customs_hold"))
    for each, kind in (
        (held, None),
        (held, "held"),
        (rng.choice(facts.shipments(user)), "departed"),
        (held, "nothing"),
    ):
        arguments = {"shipment_id": each.shipment_id, **({"kind": kind} if kind else {})}
        found = server.call(user, HISTORY, **arguments).found
        expected = facts.events(each, kind)
        expect_rows([read_event(one) for one in found["events"]], expected[:50], f"orders_get_history {arguments}")
        expect_equal(found["total"], len(expected), f"total of orders_get_history {arguments}")
    _, other = facts.own(MOVING)
    shipment = rng.choice(facts.shipments(other))
    database = server.stage.database
    database.change(
        "INSERT INTO public.shipment_events (shipment_id, at, kind, place, remark)"
        " SELECT %s, '2027-01-05T10:00:00.123456Z', 'scanned', 'NLRTM', 'twin ' || n FROM generate_series(1, 9) AS n",
        [shipment.shipment_id],
    )
    try:
        seen: list[str] = []
        for page in server.pages(other, HISTORY, "events", shipment_id=shipment.shipment_id, limit=2):
            seen += [each["remark"] for each in page["events"] if each["remark"].startswith("twin")]
        expect_equal(
            sorted(seen), [f"twin {n}" for n in range(1, 10)], "nine events of one time, in pages of two", hint=_TWINS
        )
    finally:
        database.change("DELETE FROM public.shipment_events WHERE remark LIKE 'twin %%' AND at > '2027-01-01'")


_TWINS = "Where times are equal something else has to decide, and to stand in the cursor."


@check(task="tools", after=("finds_shipments",))
def counts_money_to_the_cent(server: Server, rng: random.Random) -> None:
    """Amounts and sums are exact, by currency, over all that match and not over the page."""
    facts = Facts(server.world)
    _, reader = facts.reader(rng)
    _, mover = facts.own(MOVING)
    day = TODAY + timedelta(days=rng.randrange(-20, 25))
    due = rng.choice(facts.invoices(reader)).due
    for user in (reader, facts.clerk):
        for arguments, expected in (
            ({}, facts.invoices(user)),
            ({"status": "disputed"}, facts.invoices(user, "disputed")),
            ({"status": "paid", "limit": 200}, facts.invoices(user, "paid")),
            ({"overdue_on": day.isoformat()}, facts.invoices(user, overdue_on=day)),
            ({"overdue_on": due.isoformat(), "limit": 1}, facts.invoices(user, overdue_on=due)),
            ({"status": "open", "overdue_on": day.isoformat()}, facts.invoices(user, "open", overdue_on=day)),
            ({"status": "paid", "overdue_on": day.isoformat()}, []),
            ({"overdue_on": "2020-01-01"}, []),
        ):
            found = server.call(user, INVOICES, **arguments).found
            what = f"orders_list_invoices {json.dumps(arguments)} of a {user.role}"
            expect_equal(found["total"], len(expected), f"total of {what}")
            expect_rows(
                found["invoices"], [invoice(each) for each in expected[: int(str(arguments.get("limit", 50)))]], what
            )
            expect_equal(
                sorted(found["sums"], key=lambda each: each["currency"]), sums(expected), f"sums of {what}", hint=_MONEY
            )
    one, other = facts.invoices(mover)[:2]
    cents = {one: rng.choice((1, 7, 10, 99)), other: 900_719_925_474_099_3}
    database = server.stage.database
    try:
        for each, amount in cents.items():
            database.change(
                "UPDATE public.invoices SET amount_cents = %s WHERE invoice_id = %s", [amount, each.invoice_id]
            )
        found = server.call(mover, INVOICES, limit=2).found
        amounts = [each["amount"] for each in found["invoices"]]
        expect_equal(
            amounts, [money(cents[one]), money(cents[other])], "a very small and a very large amount", hint=_MONEY
        )
        rest = sum(each.amount_cents for each in facts.invoices(mover)[2:])
        expect_equal(found["sums"][0]["amount"], money(sum(cents.values()) + rest), "a very large sum", hint=_MONEY)
    finally:
        for each in cents:
            database.change(
                "UPDATE public.invoices SET amount_cents = %s WHERE invoice_id = %s",
                [each.amount_cents, each.invoice_id],
            )


_MONEY = "Count in whole cents and print at the end: a float holds no 0.07."


@check(task="tools", after=("finds_shipments",))
def keeps_a_report_as_it_was(server: Server, rng: random.Random) -> None:
    """A report is a snapshot: it shows what matched when it was made, whatever has changed since."""
    facts = Facts(server.world)
    _, user = facts.own(SNAPSHOT)
    wanted = rng.sample(STATUSES, 2)
    asked: list[tuple[dict[str, Any], list[Shipment]]] = [
        ({}, facts.shipments(user)),
        ({"status": wanted}, facts.shipments(user, *wanted)),
        ({"status": wanted[0]}, facts.shipments(user, wanted[0])),
    ]
    reports = []
    for arguments, expected in asked:
        made = server.call(user, CREATE, **arguments).found
        expect_equal(made["rows"], len(expected), f"rows of orders_create_report {json.dumps(arguments)}")
        reports.append((made["report"], [facts.concise(each) for each in expected]))
    one, database = rng.choice(facts.shipments(user, wanted[0])), server.stage.database
    newer = "delivered" if one.status != "delivered" else "in_transit"
    change = "UPDATE public.shipments SET status = %s, eta = %s WHERE shipment_id = %s"
    database.change(change, [newer, date(2027, 3, 1), one.shipment_id])
    try:
        for report, expected_rows in reports:
            rows: list[Any] = []
            for page in server.pages(user, READ, "shipments", report=report, limit=2):
                expect_equal(page["total"], len(expected_rows), "total of a report")
                rows += page["shipments"]
            expect_rows(rows, expected_rows, "a report, after a shipment in it has changed")
        found = server.call(user, GET, shipment_id=one.shipment_id).found
        expect_equal((found["status"], found["eta"]), (newer, "2027-03-01"), "what orders_get_shipment shows of it now")
    finally:
        database.change(change, [one.status, one.eta, one.shipment_id])


@check(task="tools", after=("finds_shipments",))
def sees_what_others_write(server: Server, rng: random.Random) -> None:
    """What another service has written is there in the next call, on both replicas."""
    facts = Facts(server.world)
    _, user = facts.own(MOVING)
    shipment = rng.choice(facts.shipments(user))
    database = server.stage.database
    for turn in range(2):
        note = f"note {rng.getrandbits(32):08x}"
        database.change("UPDATE public.shipments SET note = %s WHERE shipment_id = %s", [note, shipment.shipment_id])
        for replica in server.replicas:
            found = server.call_with(user, GET, {"shipment_id": shipment.shipment_id}, on=replica).found
            expect_equal(
                found["note"], note, f"the note of a shipment, changed {turn + 1} times", hint="No caches here."
            )
            listed = server.call_with(user, SEARCH, {"detail": "detailed", "limit": 100}, on=replica).found["shipments"]
            notes = [each["note"] for each in listed if each["shipment_id"] == shipment.shipment_id]
            expect_equal(notes, [note], "the note of it in a search")
    database.change(
        "UPDATE public.shipments SET note = %s WHERE shipment_id = %s", [shipment.note, shipment.shipment_id]
    )
    code = "FR" + "".join(rng.choices(string.ascii_uppercase, k=3))
    database.change("INSERT INTO public.ports VALUES (%s, %s)", [code, f"Saint {code.title()}"])
    try:
        for replica in server.replicas:
            found = server.call_with(user, SEARCH, {"port": f"Saint {code.title()}"}, on=replica).found
            expect_equal(found["total"], 0, "the number of shipments through a port that is new")
            called = server.call_with(user, SEARCH, {"port": f"Saintt {code.title()}"}, on=replica)
            expect(code in called.sentence, "a new port is not among the nearest", expected=code, observed=called.text)
    finally:
        database.change("DELETE FROM public.ports WHERE code = %s", [code])


@check(task="tools", after=("pages_show_every_row_once",))
def takes_only_cursors_of_its_own(server: Server, rng: random.Random) -> None:
    """A cursor that was altered or invented is an error of the tool."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    shipment = server.world.long_history(server.world.customers[0])
    owner = server.world.user("viewer", server.world.customers[0])
    report = server.call(user, CREATE).found["report"]
    lists: list[tuple[User, str, dict[str, Any]]] = [
        (user, SEARCH, {"limit": 2}),
        (user, INVOICES, {"limit": 2}),
        (owner, HISTORY, {"shipment_id": shipment.shipment_id, "limit": 2}),
        (user, READ, {"report": report, "limit": 2}),
    ]
    for who, tool, arguments in lists:
        cursor = server.call(who, tool, **arguments).found["next_cursor"]
        expect(isinstance(cursor, str), f"{tool} has no next_cursor on its first page", observed=cursor)
        spots = sorted(rng.sample(range(len(cursor)), min(len(cursor), 8)))
        altered = [_altered(cursor, spot, rng) for spot in spots]
        invented = [
            "2",
            "",
            "AAAA",
            cursor + "A",
            cursor[:-1],
            cursor[1:],
            f"{cursor} ",
            "x" * 4000,
            *_guesses(facts, who),
        ]
        for bad in (*altered, *invented):
            called = server.call(who, tool, **arguments, cursor=bad)
            expect(
                called.failed,
                f"{tool} takes a cursor that it never gave out",
                expected="an error of the tool",
                observed=f"{bad[:120]!r} for {cursor[:120]!r}",
                hint="Sign what the client carries, and take nothing else. Base64 has several spellings of one text.",
            )


def _altered(cursor: str, spot: int, rng: random.Random) -> str:
    kinds = [kind for kind in (string.digits, string.ascii_lowercase, string.ascii_uppercase) if cursor[spot] in kind]
    other = rng.choice([each for each in (kinds or [string.digits])[0] if each != cursor[spot]])
    return cursor[:spot] + other + cursor[spot + 1 :]


def _guesses(facts: Facts, user: User) -> list[str]:
    last = facts.shipments(user)[1].shipment_id
    values = [b"2", b"offset:2", last.encode(), b'{"offset": 2}', json.dumps({"after": last}).encode(), b"[2]"]
    return [last, *(base64.urlsafe_b64encode(each).decode() for each in values)]


@check(task="tools", after=("finds_shipments",))
def tells_what_is_wrong_with_an_argument(server: Server, rng: random.Random) -> None:
    """Wrong types, days, words, limits and unknown arguments are errors that name the argument, never anything else."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    shipment_id = facts.shipments(user)[0].shipment_id
    report = server.call(user, CREATE).found["report"]
    cases: list[tuple[str, str, dict[str, Any]]] = [
        *((SEARCH, "limit", {"limit": bad}) for bad in (0, -1, 101, 10**30, "20", 1.5, True, [5], {"a": 1})),
        *((SEARCH, "status", {"status": bad}) for bad in ("on_hold", 5, ["booked", "lost"], "' OR 1=1 --", {"a": 1})),
        *((SEARCH, "port", {"port": bad}) for bad in (5, ["NLRTM"], True)),
        *(
            (SEARCH, "eta_from", {"eta_from": bad})
            for bad in ("2026-02-30", "2026-13-01", "02.11.2026", "2026-11-02T10:00:00Z", "today", 20261102, "")
        ),
        (SEARCH, "eta_to", {"eta_to": "2026-00-10"}),
        *((SEARCH, "detail", {"detail": bad}) for bad in ("all", True, 1)),
        (SEARCH, "customer", {"customer": "C-1000"}),
        (SEARCH, "cursor", {"cursor": 5}),
        *((GET, "shipment_id", {"shipment_id": bad}) for bad in (5, ["MF-1"], True, {"id": 1})),
        (GET, "shipment_id", {}),
        (GET, "detail", {"shipment_id": shipment_id, "detail": "detailed"}),
        (HISTORY, "shipment_id", {"limit": 5}),
        (HISTORY, "limit", {"shipment_id": shipment_id, "limit": 201}),
        (HISTORY, "kind", {"shipment_id": shipment_id, "kind": 7}),
        (INVOICES, "status", {"status": ["open"]}),
        (INVOICES, "status", {"status": "late"}),
        (INVOICES, "overdue_on", {"overdue_on": "2026-11-31"}),
        (INVOICES, "limit", {"limit": 201}),
        (CREATE, "status", {"status": "lost"}),
        (CREATE, "name", {"name": "mine"}),
        (READ, "report", {}),
        (READ, "limit", {"report": report, "limit": 501}),
        (BOOK, "window", {"shipment_id": shipment_id, "date": "2026-11-12", "window": "night"}),
        (BOOK, "date", {"shipment_id": shipment_id, "date": "2026-02-30", "window": "morning"}),
        (BOOK, "window", {"shipment_id": shipment_id, "date": "2026-11-12"}),
        (BOOK, "confirm", {"shipment_id": shipment_id, "date": "2026-11-12", "window": "morning", "confirm": True}),
    ]
    names = {name: set(tool["inputSchema"].get("properties", {})) for name, tool in server.tools(user).items()}
    for tool, argument, arguments in cases:
        sentence = server.call(user, tool, **arguments).sentence
        expect(
            len(arguments) != 1
            or len(names[tool]) < 4
            or argument not in names[tool]
            or not _names(sentence, names[tool]),
            f"an error of {tool} names every argument that there is, and not the one that is wrong",
            expected=argument,
            observed=sentence,
        )
        expect(
            argument in sentence,
            f"an error of {tool} does not name the argument that is wrong",
            expected=argument,
            observed=f"{sentence!r} to {json.dumps(arguments)}",
        )
    for hostile in ("MF-\x00", "MF-\ud800", "'; DROP TABLE shipments; --", "%", "MF-" + "9" * 5000, "", "\U0001f6a2"):
        for tool in (GET, HISTORY):
            expect(
                server.call(user, tool, shipment_id=hostile).failed,
                f"{tool} finds a shipment that is none",
                observed=hostile[:60],
            )
        for argument in ("port", "eta_from"):
            expect(
                server.call(user, SEARCH, **{argument: hostile}).failed,
                f"a search takes a strange {argument}",
                observed=hostile[:60],
            )
        expect(
            server.call(user, READ, report=hostile or "x").failed,
            "a report that is none is read",
            observed=hostile[:60],
        )


def _names(sentence: str, arguments: set[str]) -> bool:
    return all(argument in sentence for argument in arguments)


@check(task="tools", after=("pages_show_every_row_once",))
def keeps_results_short(server: Server, rng: random.Random) -> None:
    """With long remarks a page ends early and goes on behind its cursor; no result is over 100,000 characters."""
    facts = Facts(server.world)
    customer, user = facts.own(LONG)
    shipment = server.world.long_history(customer)
    database = server.stage.database
    tail = f" {rng.getrandbits(32):08x} says: " + '\\"é' * rng.randrange(150, 200)
    database.change(
        "UPDATE public.shipment_events SET remark = remark || %s WHERE shipment_id = %s", [tail, shipment.shipment_id]
    )
    try:
        events: list[Any] = []
        for page in server.pages(user, HISTORY, "events", shipment_id=shipment.shipment_id, limit=200):
            events += [read_event(each) for each in page["events"]]
        expected = [{**each, "remark": each["remark"] + tail} for each in facts.events(shipment)]
        expect_rows(events, expected, "a history with long remarks, all pages together")
    finally:
        database.change(
            "UPDATE public.shipment_events SET remark = left(remark, length(remark) - %s) WHERE shipment_id = %s",
            [len(tail), shipment.shipment_id],
        )
