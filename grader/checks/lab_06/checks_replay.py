"""Task replay: the same run again, without a model and without effects."""

from __future__ import annotations

from typing import Any

from grader.checking import Mismatch, Reply, ToolCall, Turn, Unfaithful, check, expect, expect_equal

from .cast import Cast
from .desk import Desk, Talk, expect_error


@check(task="replay", after=("answers_with_the_help_of_a_tool",))
def replays_without_model_and_effects(desk: Desk, cast: Cast) -> None:
    """A transcript that is played again matches, calls no model and writes nothing; what is none is refused."""
    customer = cast.customer()
    talk, calls = _conversation(desk, cast, cast.booker(customer))
    shipment_id = str(calls["book"].arguments["shipment_id"])
    before = desk.pickups(shipment_id)
    transcript = _transcript(talk)
    expect_equal(_replay(talk, transcript), {"matches": True, "steps": 5, "differences": []}, "the replay")
    desk.stage.restart()
    expect_equal(
        _replay(talk, transcript), {"matches": True, "steps": 5, "differences": []}, "the replay after a restart"
    )
    expect_equal(desk.pickups(shipment_id), before, "pickups after the replays")
    expect_equal(_transcript(talk), transcript, "the transcript after the replays")
    strange: tuple[Any, ...] = ({"hello": 1}, [], "a transcript")
    for body in strange:
        expect_error(desk.send(talk.user, "POST", "/replay", body), (400, 422), None, f"a replay of {body!r}")


@check(task="replay", after=("replays_without_model_and_effects",))
def finds_what_has_changed(desk: Desk, cast: Cast) -> None:
    """When rows have changed since, exactly the calls that read them differ, each by its id."""
    customer = cast.customer()
    talk, calls = _conversation(desk, cast, cast.booker(customer))
    transcript = _transcript(talk)
    database, shipment_id = desk.stage.database, calls["look"].arguments["shipment_id"]
    database.change("UPDATE public.shipments SET note = note || ' (moved)' WHERE shipment_id = %s", [shipment_id])
    seen = _replay(talk, transcript)
    expected = sorted((str(calls[name].id), calls[name].name) for name in ("look", "find"))
    found = sorted((one.get("id"), one.get("tool")) for one in seen["differences"])
    expect_equal((seen["matches"], found), (False, expected), "matches and differences after a row has changed")
    database.change("UPDATE public.users SET role = 'viewer' WHERE user_id = %s", [talk.user.user_id])
    try:
        read_again = _replay(talk, transcript)
    finally:
        database.change("UPDATE public.users SET role = 'booker' WHERE user_id = %s", [talk.user.user_id])
    expect_equal(read_again, seen, "the replay by somebody who may not book any more")


def _conversation(desk: Desk, cast: Cast, user: Any) -> tuple[Talk, dict[str, ToolCall]]:
    """Two runs with calls that read, write, fail and are of no tool."""
    customer = next(one for one in cast.world.customers if one.customer_id == user.customer_id)
    shipment = cast.booked(customer)
    known = {"shipment_id": shipment.shipment_id}
    calls = {
        "find": ToolCall("find_shipments", {"status": "booked"}, id=cast.call_id()),
        "look": ToolCall("get_shipment", known, id=cast.call_id()),
        "events": ToolCall("get_events", known, id=cast.call_id()),
        "invoices": ToolCall("list_invoices", {}, id=cast.call_id()),
        "lost": ToolCall("get_shipment", {"shipment_id": f"MF-{cast.number()}"}, id=cast.call_id()),
        "unknown": ToolCall("drop_table", {}, id=cast.call_id()),
        "book": ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id()),
    }
    talk = desk.talk(cast, user)
    talk.script(
        Unfaithful(Turn(Reply("Let me see."), calls["find"], calls["look"], calls["events"], calls["unknown"])),
        Turn(calls["book"], calls["lost"]),
        Reply("Booked."),
        calls["invoices"],
        Reply("These."),
    )
    talk.say().expect("answered")
    talk.say().expect("answered")
    return talk, calls


def _transcript(talk: Talk) -> dict[str, Any]:
    response = talk.transcript()
    expect_equal(response.status, 200, "the status of the transcript")
    body = response.json()
    if not isinstance(body, dict):
        raise Mismatch("the transcript is no object", expected="a JSON object", observed=body)
    return body


def _replay(talk: Talk, transcript: dict[str, Any]) -> dict[str, Any]:
    response = talk.desk.send(talk.user, "POST", "/replay", transcript)
    expect(
        response.status == 200, "a replay failed", expected="200", observed=f"{response.status} {response.text[:300]}"
    )
    body = response.json()
    fits = isinstance(body, dict) and set(body) >= {"matches", "steps", "differences"}
    expect(fits and isinstance(body["differences"], list), "the shape of a replay's answer", observed=body)
    return {name: body[name] for name in ("matches", "steps", "differences")}
