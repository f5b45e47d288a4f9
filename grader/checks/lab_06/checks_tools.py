"""Task tools: strict arguments, exact results, and errors in words that the model can use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from grader.checking import Mismatch, Reply, ToolCall, Turn, Unfaithful, check, expect, expect_equal
from grader.checking.freight import Invoice, Shipment, ShipmentEvent, World

from .cast import Cast
from .desk import Desk
from .history import TOOLS

# What stands in no message for the model: how the inside of the program calls things.
INNER = ("select ", "relation", "psycopg", "traceback", "sqlstate", "127.0.0.1", "ports", "line 1")


@check(task="tools", after=("answers_with_the_help_of_a_tool",))
def reads_what_the_database_holds(desk: Desk, cast: Cast, world: World) -> None:
    """The four reading tools give exactly the rows and fields of the table, in its order."""
    customer = cast.customer()
    shipments, invoices = world.shipments_of(customer), world.invoices_of(customer)
    talk = desk.talk(cast, cast.viewer(customer))
    one = cast.rng.choice(shipments)
    limit = cast.rng.randint(2, 5)
    asked: list[tuple[str, dict[str, Any], Any]] = [
        ("find_shipments", {}, {"shipments": [_shipment(s) for s in shipments[:20]], "total": len(shipments)}),
        (
            "find_shipments",
            {"limit": limit},
            {"shipments": [_shipment(s) for s in shipments[:limit]], "total": len(shipments)},
        ),
        ("find_shipments", {"status": "delivered", "limit": 50}, _found(world.shipments_of(customer, "delivered"))),
        ("get_shipment", {"shipment_id": one.shipment_id}, _shipment(one)),
        ("get_events", {"shipment_id": one.shipment_id}, {"events": [_event(world, e) for e in world.events_of(one)]}),
        ("list_invoices", {}, {"invoices": [_invoice(i) for i in invoices]}),
        ("list_invoices", {"status": "open"}, {"invoices": [_invoice(i) for i in invoices if i.status == "open"]}),
    ]
    calls = [ToolCall(name, arguments, id=cast.call_id()) for name, arguments, _ in asked]
    talk.script(Turn(*calls), Reply("All read."))
    talk.say().expect("answered")
    for call, (name, arguments, expected) in zip(calls, asked, strict=True):
        value = talk.result(str(call.id)).expect(None, f"{name} {arguments}").value
        expect_equal(_in_utc(value), expected, f"the result of {name} {arguments}")
    clerk = desk.talk(cast, cast.clerk)
    clerk.script(everything := ToolCall("find_shipments", {"limit": 50}, id=cast.call_id()), Reply("Read."))
    clerk.say()
    text = clerk.result(str(everything.id)).text
    expect(f"{len(world.shipments)}" in text or "[truncated" in text, "a clerk does not see everything", observed=text)


@check(task="tools", after=("answers_with_the_help_of_a_tool",))
def tells_the_model_what_was_wrong(desk: Desk, cast: Cast) -> None:
    """Unknown tools and bad arguments are answered in words that help; the other calls of the turn are carried out."""
    customer = cast.customer()
    talk = desk.talk(cast, cast.booker(customer))
    shipment = cast.booked(customer)
    unknown, bad, good = cast.call_id(), cast.call_id(), cast.call_id()
    wrong = {"shipment_id": shipment.shipment_id, "date": "2026-02-30", "window": "noon"}
    talk.script(
        Unfaithful(
            Turn(
                ToolCall("book_pickup", cast.pickup(shipment), id=good),
                ToolCall("cancel_pickup", {"pickup_id": 1}, id=unknown),
                ToolCall("book_pickup", wrong, id=bad),
            )
        ),
        Reply("I see."),
    )
    talk.say().expect("answered")
    message = talk.result(unknown).expect("unknown_tool", "a tool that nobody has").message
    expect(all(name in message for name in TOOLS), "unknown_tool does not say which there are", observed=message)
    message = talk.result(bad).expect("invalid_arguments", "book_pickup with a bad date and window").message
    expect("date" in message and "window" in message, "the bad fields are not named", observed=message)
    rows = desk.pickups(shipment.shipment_id)
    expect_equal(len(rows), 1, "how many pickups one good and one bad call have made")
    expect_equal(talk.result(good).expect(None, "book_pickup").value, {"pickup_id": rows[0]["pickup_id"]}, "its result")


@check(task="tools", after=("carries_a_conversation_on_openai",), seconds=20)
def refuses_arguments_that_do_not_fit(openai_desk: Desk, cast: Cast) -> None:
    """Two dozen calls with a field too many, one missing, a wrong type or a value out of bounds: nothing happens."""
    invoice, shipment = cast.invoice(), cast.booked(cast.customer())
    pickup, credit = cast.pickup(shipment), cast.credit(invoice)
    known = {"shipment_id": shipment.shipment_id}
    bad: list[tuple[str, dict[str, Any]]] = [
        *(("find_shipments", {"limit": limit}) for limit in (0, 51, "20", True, 20.5)),
        ("find_shipments", {"status": "lost"}),
        ("find_shipments", {"status": None}),
        ("find_shipments", {"customer_id": invoice.customer_id}),
        ("get_shipment", {}),
        ("get_shipment", {"shipment_id": 204417}),
        ("get_shipment", {"shipment_id": ""}),
        ("get_shipment", {"shipment_id": "M" * 41}),
        ("get_events", {**known, "user_id": cast.clerk.user_id}),
        ("list_invoices", {"status": "OPEN"}),
        *(("book_pickup", {**pickup, "date": day}) for day in ("2026-02-30", "20261112", "2026-W46-4", "12.11.2026")),
        ("book_pickup", {**pickup, "date": "2026-11-12T09:00:00"}),
        ("book_pickup", {**pickup, "window": "noon"}),
        ("book_pickup", {**pickup, "booked_by": cast.clerk.user_id}),
        ("book_pickup", known),
        *(("issue_credit", {**credit, "amount_cents": amount}) for amount in (0, -5, 1.5, "100", True)),
        *(("issue_credit", {**credit, "reason": reason}) for reason in ("", "x" * 201)),
    ]
    calls = [ToolCall(name, arguments, id=cast.call_id()) for name, arguments in bad]
    talk = openai_desk.talk(cast, cast.clerk).script(Unfaithful(Turn(*calls)), Reply("So be it."))
    talk.say().expect("answered")
    for call, (name, arguments) in zip(calls, bad, strict=True):
        talk.result(str(call.id)).expect("invalid_arguments", f"{name} {arguments}")
    done = openai_desk.pickups(shipment.shipment_id) + openai_desk.credits(invoice.invoice_id)
    expect_equal(done, [], "rows that calls with bad arguments have made")


@check(task="tools", after=("carries_a_conversation_on_openai",))
def takes_broken_json_for_what_it_is(openai_desk: Desk, cast: Cast) -> None:
    """Arguments that are no JSON object are answered as invalid; the conversation goes on."""
    shipment = cast.shipment(cast.customer())
    whole = f'{{"shipment_id": "{shipment.shipment_id}"}}'
    written = [
        whole[:-1],
        whole[:-6],
        "",
        "null",
        "[]",
        f'"{shipment.shipment_id}"',
        whole + whole,
        "{'shipment_id': 1}",
    ]
    calls = [ToolCall("get_shipment", {}, id=cast.call_id(), written=text) for text in written]
    odd = [
        ToolCall("get_shipment", {}, id=cast.call_id(), written=f'{{"shipment_id": "{text}"}}')
        for text in ("MF-\\u0000", "MF-\\ud800")
    ]
    good = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk = openai_desk.talk(cast, cast.clerk).script(Unfaithful(Turn(*calls, *odd, good)), Reply("Hm."), Reply("On."))
    talk.say().expect("answered")
    talk.say().expect("answered")
    for call in calls:
        talk.result(str(call.id)).expect("invalid_arguments", f"get_shipment with {call.written!r}")
    for call in odd:
        word = talk.result(str(call.id)).word
        expect(
            word in ("invalid_arguments", "not_found"), f"get_shipment with {call.written} gave no error", observed=word
        )
    expect_equal(
        talk.result(str(good.id)).expect(None, "get_shipment").value, _shipment(shipment), "the good call's result"
    )


@check(task="tools", after=("answers_with_the_help_of_a_tool",))
def books_only_what_can_be_picked_up(desk: Desk, cast: Cast, world: World) -> None:
    """A pickup is a row in the user's name; a shipment that is not `booked` is a conflict, an unknown one not_found."""
    customer = cast.customer()
    user, booked = cast.booker(customer), cast.booked(customer)
    others = [
        cast.rng.choice(world.shipments_of(customer, status)) for status in ("in_transit", "delivered", "cancelled")
    ]
    good = ToolCall("book_pickup", cast.pickup(booked), id=cast.call_id())
    bad = [ToolCall("book_pickup", cast.pickup(other), id=cast.call_id()) for other in others]
    lost = ToolCall("book_pickup", {**good.arguments, "shipment_id": "MF-1"}, id=cast.call_id())
    talk = desk.talk(cast, user).script(Turn(good, *bad), lost, Reply("That is all."))
    talk.say().expect("answered")
    for call in bad:
        talk.result(str(call.id)).expect("conflict", f"book_pickup of {call.arguments['shipment_id']}")
    talk.result(str(lost.id)).expect("not_found", "book_pickup of a shipment that is not there")
    rows = desk.pickups(booked.shipment_id, *(other.shipment_id for other in others))
    expected = {**good.arguments, "booked_by": user.user_id, "pickup_id": rows[0]["pickup_id"] if rows else None}
    expect_equal(rows, [expected], "the pickups in the database")


@check(task="tools", after=("answers_with_the_help_of_a_tool",))
def keeps_its_inside_to_itself(desk: Desk, cast: Cast) -> None:
    """When the database breaks under a tool, the model is told `failed` and nothing about tables, SQL or hosts."""
    customer = cast.customer()
    talk = desk.talk(cast, cast.viewer(customer))
    shipment = cast.shipment(customer)
    broken = ToolCall("get_events", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    beside = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk.script(Turn(broken, beside), Reply("Pity."))
    desk.stage.database.change("ALTER TABLE public.ports RENAME TO ports_gone")
    try:
        talk.say().expect("answered")
    finally:
        desk.stage.database.change("ALTER TABLE public.ports_gone RENAME TO ports")
    message = talk.result(str(broken.id)).expect("failed", "get_events without the table of ports").message
    said = [word for word in INNER if word in message.lower()]
    expect(not said, "the model is told about the inside of the program", expected="no word of it", observed=message)
    talk.result(str(beside.id)).expect(None, "the call beside the one that failed")


def _shipment(row: Shipment) -> dict[str, Any]:
    names = ("shipment_id", "origin", "destination", "status", "weight_kg", "goods", "note")
    return {**{name: getattr(row, name) for name in names}, "eta": row.eta.isoformat()}


def _found(rows: tuple[Shipment, ...]) -> dict[str, Any]:
    return {"shipments": [_shipment(row) for row in rows], "total": len(rows)}


def _invoice(row: Invoice) -> dict[str, Any]:
    names = ("invoice_id", "shipment_id", "amount_cents", "currency", "status")
    return {**{name: getattr(row, name) for name in names}, "due": row.due.isoformat()}


def _event(world: World, row: ShipmentEvent) -> dict[str, Any]:
    place = next(port.name for port in world.ports if port.code == row.place)
    return {"at": row.at, "kind": row.kind, "place": place, "remark": row.remark}


def _in_utc(value: Any) -> Any:
    """The result with the times of events read: there is more than one way to write them."""
    if not isinstance(value, dict) or "events" not in value:
        return value
    return {"events": [{**event, "at": _time(event.get("at"))} for event in value["events"]]}


def _time(text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise Mismatch("`at` is no time", expected="ISO 8601", observed=text) from error
    expect(time.tzinfo is not None, "`at` has no time zone", expected="UTC: …Z or …+00:00", observed=text)
    expect_equal(time.utcoffset(), UTC.utcoffset(None), "the time zone of `at`")
    return time
