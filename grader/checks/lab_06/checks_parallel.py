"""Task parallel: the calls of a turn side by side, each in its time and size, until somebody cancels."""

from __future__ import annotations

import re

from grader.checking import Reply, ToolCall, Turn, check, expect, expect_equal
from grader.checking.freight import World

from .cast import Cast
from .desk import Desk, InBackground, expect_error, read_ended
from .history import expect_said

SIDE_BY_SIDE = 8
GIVE_UP_SECONDS = 6.0
NOTICE = re.compile(r"\[truncated: (\d+) characters in all\]\Z")


@check(task="parallel", after=("answers_with_the_help_of_a_tool",))
def runs_the_calls_of_a_turn_side_by_side(desk: Desk, cast: Cast, world: World) -> None:
    """Eight calls of one turn wait at the same time; their results come back in one turn, each by its id."""
    customer = cast.customer()
    shipments = world.shipments_of(customer)[:SIDE_BY_SIDE]
    calls = [ToolCall("get_shipment", {"shipment_id": s.shipment_id}, id=cast.call_id()) for s in shipments]
    talk = desk.talk(cast, cast.viewer(customer)).script(Turn(*calls), Reply("All there."))
    with desk.stage.database.locked("public.shipments") as lock:
        run = InBackground(lambda: talk.post(talk.body()))
        together = lock.waited_for(len(calls))
        waiting = desk.stage.database.waiting()
    read_ended(run.result()).expect("answered")
    expect(
        together,
        "the calls of one turn do not run at the same time",
        expected=f"{len(calls)} statements that wait for a locked table",
        observed=waiting,
        hint="Is one connection shared, or is each call awaited before the next one begins?",
    )
    ids = [str(call.id) for call in calls]
    expect_said(talk.last, ("user", talk.opening), ("calls", ids), ("results", ids))
    seen = [talk.result(name).value["shipment_id"] for name in ids]
    expect_equal(seen, [s.shipment_id for s in shipments], "the shipments in the results, by the ids of their calls")


@check(task="parallel", after=("answers_with_the_help_of_a_tool",))
def ends_a_slow_call_alone(tight_desk: Desk, cast: Cast) -> None:
    """After TOOL_SECONDS a call is `timeout`, its statement is gone, nothing of it happens; its neighbour is whole."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    slow = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    quick = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk = tight_desk.talk(cast, cast.booker(customer)).script(Turn(slow, quick), Reply("It took too long."))
    with tight_desk.stage.database.locked("public.pickups") as lock:
        run = InBackground(lambda: talk.post(talk.body()))
        expect(lock.waited_for(), "book_pickup was not carried out", expected="a statement that waits for the table")
        read_ended(run.result()).expect("answered")
        expect(
            lock.given_up(seconds=GIVE_UP_SECONDS),
            "the statement of a call that timed out still waits",
            expected="it is cancelled in the database",
            observed="a session that waits for the lock",
            hint="Giving up waiting in your program does not end what the database does.",
        )
    talk.result(str(slow.id)).expect("timeout", "a call that waited longer than TOOL_SECONDS")
    talk.result(str(quick.id)).expect(None, "the call beside it")
    expect_equal(tight_desk.pickups(shipment.shipment_id), [], "pickups of a call that timed out")


@check(task="parallel", after=("answers_with_the_help_of_a_tool",))
def cuts_long_results_with_a_notice(tight_desk: Desk, cast: Cast, world: World) -> None:
    """A result that is too long is cut at its end and says how long it was; one that fits is left alone."""
    customer = world.customers[0]
    history = world.long_history(customer)
    short = min(world.shipments_of(customer), key=lambda shipment: len(shipment.shipment_id))
    events = ToolCall("get_events", {"shipment_id": history.shipment_id}, id=cast.call_id())
    one = ToolCall("get_shipment", {"shipment_id": short.shipment_id}, id=cast.call_id())
    talk = tight_desk.talk(cast, cast.viewer(customer)).script(Turn(events, one), Reply("Long."))
    talk.say().expect("answered")
    text = talk.result(str(events.id)).text
    found = NOTICE.search(text)
    expect(
        found,
        "a long result does not end in the notice",
        expected="[truncated: … characters in all]",
        observed=text[-80:],
    )
    expect(
        680 <= len(text) <= 700, "the length of a result that was cut", expected="700 characters", observed=len(text)
    )
    shortest = len(world.events_of(history)) * len(
        '{"at":"2026-01-01T00:00:00Z","kind":"scanned","place":"","remark":""}'
    )
    expect(
        found and shortest <= int(found[1]) <= 3 * shortest,
        "the length in the notice",
        expected=f"that of all {len(world.events_of(history))} events, {shortest:,} characters at least",
        observed=found and found[1],
    )
    expect(text.startswith("{"), "the beginning of the result is not there", observed=text[:80])
    expect_equal(
        talk.result(str(one.id)).expect(None, "get_shipment").value["note"], short.note, "the short result's note"
    )


@check(task="parallel", after=("answers_with_the_help_of_a_tool",), seconds=20)
def cancels_what_is_under_way(desk: Desk, cast: Cast) -> None:
    """A cancelled run ends at once, whether it waits for the model or a tool; nothing of it happens later."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    talk = desk.talk(cast, cast.booker(customer)).script(Reply("Never read."))
    expect_error(talk.cancel(), (404,), "not_found", "cancelling in a conversation that does not exist")
    with talk.held() as arrived:
        run = InBackground(lambda: talk.post(talk.body()))
        arrived()
        expect_equal(talk.cancel().status, 202, "the status of a cancellation")
        read_ended(run.result()).expect("stopped", "cancelled")
        ended = desk.stage.model.journal.await_ended(talk.last.number, GIVE_UP_SECONDS)
        expect(
            ended, "the call of the model goes on after the run", expected="a closed connection", observed="an open one"
        )
    expect_error(talk.cancel(), (409,), "idle", "cancelling when no run is under way")
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    look = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk.script(Turn(look, book))
    body = talk.body()
    with desk.stage.database.locked("public.pickups") as lock:
        run = InBackground(lambda: talk.post(body))
        expect(lock.waited_for(), "book_pickup was not carried out", expected="a statement that waits for the table")
        expect_equal(talk.cancel().status, 202, "the status of a cancellation")
        stopped = read_ended(run.result()).expect("stopped", "cancelled")
        gone = lock.given_up(seconds=GIVE_UP_SECONDS)
        expect(
            gone,
            "the statement still waits after the run",
            expected="it is cancelled in the database",
            observed="it waits",
        )
    expect_equal(desk.pickups(shipment.shipment_id), [], "pickups of a run that was cancelled")
    expect_equal(read_ended(talk.post(body)).body, stopped.body, "the answer to the cancelled message, sent again")
    talk.script(Reply("Back."))
    talk.say().expect("answered")
    talk.result(str(book.id)).expect("not_run", "the call that the cancellation cut short")
