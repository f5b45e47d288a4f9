"""Task confirm: nothing is booked without a human's yes, to this and to nothing else, now, and once."""

from __future__ import annotations

import random
import string
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grader.checking import check, expect, expect_equal

from .confirmation import BOOK, YES, Booking, Round, all_pickups, expect_asked
from .rows import BOOKING, Facts
from .server import Server, usual_meta
from .tokens import BOOK as BOOK_SCOPE

CONFIRMATION_SECONDS = 2  # as fresh_server is started
STATUSES = ("in_transit", "customs_hold", "delivered", "cancelled")


def _booking(server: Server, rng: random.Random) -> Booking:
    _, user = Facts(server.world).own(rng.choice(BOOKING))
    return Booking.draw(server, user, rng)


@check(task="confirm")
def asks_before_it_books(server: Server, rng: random.Random) -> None:
    """The first round writes nothing and asks one question that names shipment, date and window."""
    before = all_pickups(server)
    for window in ("morning", "afternoon"):
        booking = _booking(server, rng)
        booking.window = window
        first = booking.ask(server.turn(), scope=BOOK_SCOPE)
        expect_asked(first, booking)
        expect(len(first.state) >= 16, "the requestState is too short to be sealed", observed=first.state)
        # The answer without the state, and the state of nobody: the human's yes alone proves nothing.
        params = {"name": BOOK, "arguments": booking.arguments, "inputResponses": {booking.key: YES}}
        server.send("tools/call", params, user=booking.by)
    expect_equal(all_pickups(server), before, "the number of pickups after first rounds")


@check(task="confirm", after=("asks_before_it_books",))
def books_after_a_yes(server: Server, rng: random.Random) -> None:
    """A yes books what was asked, in the name of who asked; the replica that asked need not be the one that books."""
    facts = Facts(server.world)
    for asks, books in (server.replicas, server.replicas[::-1]):
        booking = _booking(server, rng)
        found = booking.answer(books, booking.ask(asks).state).found
        booking.expect_booked(1, "after a yes")
        (row,) = server.stage.database.rows(
            "SELECT pickup_id FROM public.pickups WHERE shipment_id = %s AND pickup_date = %s",
            [booking.shipment_id, booking.day],
        )
        expect_equal(found, {"pickup_id": row["pickup_id"], **booking.arguments}, "the result of a booking")
    booking = Booking.draw(server, facts.own(rng.choice(BOOKING))[1], rng, by=facts.clerk)
    booking.answer(server.turn(), booking.ask(server.turn()).state)
    booking.expect_booked(1, "after a clerk's yes")


@check(task="confirm", after=("books_after_a_yes",))
def books_nothing_after_a_no(server: Server, rng: random.Random) -> None:
    """Decline, cancel, and everything that is not a whole yes write nothing and are told to the model."""
    answers: tuple[Mapping[str, Any], ...] = (
        {"action": "decline"},
        {"action": "cancel"},
        {"action": "accept", "content": {"confirm": False}},
        {"action": "decline", "content": {"confirm": True}},
    )
    for answer in answers:
        booking = _booking(server, rng)
        called = booking.answer(server.turn(), booking.ask(server.turn()).state, answer)
        expect(called.failed, f"the answer {answer} is taken for a yes", observed=called.result)
        booking.expect_booked(0, f"after the answer {answer}")
    for odd in (
        {"action": "accept"},
        {"action": "accept", "content": {}},
        {"action": "accept", "content": {"confirm": "true"}},
        {"action": "accept", "content": {"confirm": 1}},
        {"action": "accept", "content": {"yes": True}},
    ):
        booking = _booking(server, rng)
        state = booking.ask(server.turn()).state
        params = {"name": BOOK, "arguments": booking.arguments, **booking.answers(state, odd)}
        server.send("tools/call", params, user=booking.by)
        booking.expect_booked(0, f"after the answer {odd}")


@check(task="confirm", after=("books_after_a_yes",))
def a_yes_holds_for_what_was_asked(server: Server, rng: random.Random) -> None:
    """A requestState with another shipment, date, window or user, or altered in one character, books nothing."""
    facts = Facts(server.world)
    booking = _booking(server, rng)
    state = booking.ask(server.turn()).state
    before = all_pickups(server)
    others = [
        each.shipment_id for each in facts.shipments(booking.by, "booked") if each.shipment_id != booking.shipment_id
    ]
    swaps: list[dict[str, Any]] = [
        {"date": f"2061-01-{rng.randrange(10, 28)}"},
        {"window": "morning" if booking.window == "afternoon" else "afternoon"},
        *({"shipment_id": each} for each in others[:1]),
    ]
    for swap in swaps:
        what = f"a requestState of other arguments ({', '.join(swap)})"
        booking.send(server.turn(), state, **swap).expect_error(-32602, what, _SEAL)
    booking.send(server.turn(), state, by=facts.clerk).expect_error(-32602, "the requestState of another user", _SEAL)
    spots = rng.sample(range(len(state)), min(len(state), 12))
    altered = [state[:spot] + _other(state[spot], rng) + state[spot + 1 :] for spot in spots]
    for bad in (*altered, state[:-1], state[1:], state + "A", state.swapcase(), "x", "null", "e30"):
        booking.send(server.turn(), bad).expect_error(-32602, "a requestState that was altered or invented", _SEAL)
    expect_equal(all_pickups(server), before, "the number of pickups after answers that were not to the question")
    booking.answer(server.turn(), state)
    booking.expect_booked(1, "after all that, with what was asked")


_SEAL = "Seal user, tool, arguments and age together; check them before anything is written."


def _other(character: str, rng: random.Random) -> str:
    return rng.choice([each for each in string.ascii_letters + string.digits if each != character])


@check(task="confirm", after=("books_after_a_yes",), seconds=20)
def a_yes_is_good_once(server: Server, rng: random.Random) -> None:
    """Twenty repetitions at the same time on two replicas book once; so does one later, and after a restart."""
    booking = _booking(server, rng)
    state = booking.ask(server.turn()).state
    replicas = server.replicas
    numbers = [server.number() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        sent = list(pool.map(lambda turn: booking.send(replicas[turn % 2], state, number=numbers[turn]), range(20)))
    booked = [each for each in sent if each.status == 200 and not each.answer.result.get("isError")]
    booking.expect_booked(1, "after twenty yeses at once")
    expect_equal(len(booked), 1, "how many of twenty equal yeses were told that they booked")
    for each in sent:
        if each not in booked:
            each.expect_error(-32602, "a requestState that has booked before", _ONCE)
    third = server.stage.beside("victim")
    for replica in (*replicas, third):
        booking.send(replica, state).expect_error(-32602, "a requestState that has booked before", _ONCE)
    third.kill()
    booking.expect_booked(1, "after it was sent again")
    again = booking.answer(server.turn(), booking.ask(server.turn()).state)
    expect(not again.failed, "the same pickup, confirmed a second time, is refused", observed=again.result)
    booking.expect_booked(2, "after a second confirmation")


_ONCE = "That it was used is a row, written in the transaction that books: the second writer waits, and finds it."


@check(task="confirm", after=("books_after_a_yes",))
def a_yes_grows_old(fresh_server: Server, rng: random.Random) -> None:
    """A confirmation that took longer than CONFIRMATION_SECONDS is refused."""
    booking = _booking(fresh_server, rng)
    state = booking.ask(fresh_server.stage).state
    time.sleep(CONFIRMATION_SECONDS + 0.5)  # that it grows old is the event
    sent = booking.send(fresh_server.stage, state)
    sent.expect_error(-32602, f"a requestState that is older than {CONFIRMATION_SECONDS} seconds", "Seal the time in.")
    booking.expect_booked(0, "after a yes that came too late")


@check(task="confirm", after=("asks_before_it_books",))
def needs_a_client_that_can_ask(server: Server, rng: random.Random) -> None:
    """A client without elicitation is told so with -32021, and which capability it needs."""
    booking = _booking(server, rng)
    params = {"name": BOOK, "arguments": booking.arguments}
    sent = server.send("tools/call", params, user=booking.by, meta=usual_meta(elicits=False))
    data = sent.expect_error(-32021, "a booking by a client that cannot ask").get("data") or {}
    expect(
        isinstance(data.get("requiredCapabilities"), dict) and "elicitation" in data["requiredCapabilities"],
        "the error does not name the capability",
        expected='"requiredCapabilities": {"elicitation": {}}',
        observed=data,
    )
    booking.expect_booked(0, "by a client that cannot ask")


@check(task="confirm", after=("books_after_a_yes",))
def books_only_what_is_booked(server: Server, rng: random.Random) -> None:
    """Only a shipment that is booked is picked up, in the second round too; a viewer books nothing."""
    facts = Facts(server.world)
    customer, user = facts.own(rng.choice(BOOKING))
    for status in STATUSES:
        booking = Booking.draw(server, user, rng)
        booking.shipment_id = rng.choice(facts.shipments(user, status)).shipment_id
        sentence = booking.ask(server.turn()).called.sentence
        expect(
            booking.shipment_id in sentence or status in sentence,
            "the error does not say why it cannot be picked up",
            expected=f"{booking.shipment_id} is {status}",
            observed=sentence,
        )
    booking = Booking.draw(server, user, rng)
    state = booking.ask(server.turn()).state
    change = "UPDATE public.shipments SET status = %s WHERE shipment_id = %s"
    server.stage.database.change(change, ["cancelled", booking.shipment_id])
    try:
        called = booking.answer(server.turn(), state)
    finally:
        server.stage.database.change(change, ["booked", booking.shipment_id])
    expect(called.failed, "a shipment that was cancelled since the first round is picked up", observed=called.result)
    booking.expect_booked(0, "of a shipment that was cancelled meanwhile")
    viewer = Booking.draw(server, user, rng, by=server.world.user("viewer", customer))
    first: Round = viewer.ask(server.turn())
    expect(first.called.failed, "a viewer is asked to confirm a booking", observed=first.called.result)
