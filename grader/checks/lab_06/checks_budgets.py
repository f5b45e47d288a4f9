"""Task budgets: a run stops for a reason that has a name, does nothing more, and the conversation can go on."""

from __future__ import annotations

from grader.checking import FreshStage, Reply, ToolCall, Turn, Unfaithful, check, expect, expect_equal

from .cast import Cast
from .desk import Desk, InBackground, Talk, read_ended
from .history import expect_said

STOP_SECONDS = 6.0  # of the machine's patience, not of the brief's


@check(task="budgets", after=("answers_with_the_help_of_a_tool",))
def stops_after_max_steps(tight_desk: Desk, cast: Cast) -> None:
    """A model that never ends is stopped after MAX_STEPS; its last calls are not carried out, and the talk goes on."""
    customer = cast.customer()
    talk = tight_desk.talk(cast, cast.booker(customer))
    shipment = cast.booked(customer)
    looks = [ToolCall("find_shipments", {"limit": limit}, id=cast.call_id()) for limit in (1, 2, 3, 4)]
    last = Turn(looks[3], ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id()))
    talk.script(*looks[:3], last, Reply("Sorry."))
    ended = talk.say().expect("stopped", "max_steps")
    expect_equal((ended.answer, ended.body["steps"]), (None, 4), "answer and steps of a run that was stopped")
    expect_equal(tight_desk.pickups(shipment.shipment_id), [], "pickups that the last reply asked for")
    talk.say().expect("answered")
    for call in last.tool_calls:
        talk.result(str(call.id)).expect("not_run", f"{call.name} in the reply at which the run was stopped")
    talk.result(str(looks[2].id)).expect(None, "a call before")
    ids = [[str(call.id) for call in turn] for turn in (looks[:1], looks[1:2], looks[2:3], last.tool_calls)]
    turns = [(kind, what) for what in ids for kind in ("calls", "results")]
    expect_said(talk.last, ("user", talk.opening), *turns, ("user", _users_last(talk)))


@check(task="budgets", after=("answers_with_the_help_of_a_tool",))
def stops_at_max_tokens(tight_desk: Desk, cast: Cast) -> None:
    """When MAX_TOKENS are used up no further call is carried out; a reply without calls is an answer all the same."""
    customer = cast.customer()
    talk = tight_desk.talk(cast, cast.booker(customer))
    shipment = cast.booked(customer)
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    talk.script(ToolCall("find_shipments", {"limit": 1}), Turn(Reply("word " * 33_000), book), Reply("Enough."))
    ended = talk.say().expect("stopped", "max_tokens")
    expect(ended.body["tokens"] >= 40_000, "the tokens of the run", expected="40,000 or more", observed=ended.body)
    expect_equal(tight_desk.pickups(shipment.shipment_id), [], "pickups that the last reply asked for")
    talk.say().expect("answered")
    talk.result(str(book.id)).expect("not_run", "book_pickup in the reply that used the tokens up")


@check(task="budgets", after=("answers_with_the_help_of_a_tool",))
def stops_at_max_invalid(tight_desk: Desk, cast: Cast) -> None:
    """The MAX_INVALID-th invalid call of a run stops it, with all calls of its turn; forbidden calls do not count."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    viewer = tight_desk.talk(cast, cast.viewer(customer))
    forbidden = [ToolCall("book_pickup", {"window": str(n)}, id=cast.call_id()) for n in range(3)]
    viewer.script(Turn(*forbidden), Reply("You may not.")).say().expect("answered")
    talk = tight_desk.talk(cast, cast.booker(customer))
    first = Unfaithful(ToolCall("no_such_tool", {}, id=cast.call_id()))
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    bad = ToolCall("get_shipment", {"id": shipment.shipment_id}, id=cast.call_id())
    talk.script(
        first, Unfaithful(Turn(book, bad)), Unfaithful(ToolCall("get_shipment", {}, id=cast.call_id())), Reply("Ok.")
    )
    talk.say().expect("stopped", "invalid_calls")
    expect_equal(tight_desk.pickups(shipment.shipment_id), [], "pickups in the turn of the last invalid call")
    talk.say().expect("answered")  # a new run has a budget of its own
    for call in (book, bad):
        talk.result(str(call.id)).expect("not_run", f"{call.name} in the turn that was one invalid call too many")


@check(task="budgets", after=("answers_with_the_help_of_a_tool",))
def stops_at_max_identical(tight_desk: Desk, cast: Cast) -> None:
    """The MAX_IDENTICAL-th call of one tool with equal arguments stops the run, in whatever order their keys stand."""
    customer = cast.customer()
    talk = tight_desk.talk(cast, cast.booker(customer))
    shipment = cast.booked(customer)
    wish = cast.pickup(shipment)
    same = {key: wish[key] for key in reversed(wish)}
    other = {**wish, "window": "morning" if wish["window"] == "afternoon" else "afternoon"}
    one, two, three = (ToolCall("book_pickup", arguments, id=cast.call_id()) for arguments in (wish, other, same))
    talk.script(one, two, three, Reply("Well."))
    talk.say().expect("stopped", "identical_calls")
    expect_equal(
        [row["window"] for row in tight_desk.pickups(shipment.shipment_id)], [wish["window"], other["window"]], "rows"
    )
    talk.say().expect("answered")
    talk.result(str(three.id)).expect("not_run", "the call that was one too many")
    twins = [ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id()) for _ in range(2)]
    talk.script(Turn(*twins), Reply("Twice in one turn."))
    talk.say().expect("stopped", "identical_calls")
    talk.say().expect("answered")


@check(task="budgets", after=("answers_with_the_help_of_a_tool",), seconds=30)
def stops_after_max_seconds(fresh_stage: FreshStage, cast: Cast) -> None:
    """After MAX_SECONDS the run ends, whether it waits for the model or a tool, and what it waited for is let go."""
    desk = Desk(fresh_stage({"MAX_SECONDS": "2", "TOOL_SECONDS": "60"}))
    customer = cast.customer()
    shipment = cast.booked(customer)
    talk = desk.talk(cast, cast.booker(customer)).script(Reply("Too late."))
    with talk.held() as arrived:
        run = InBackground(lambda: talk.post(talk.body()))
        arrived()
        read_ended(run.result()).expect("stopped", "max_seconds")
        ended = desk.stage.model.journal.await_ended(talk.last.number, STOP_SECONDS)
        expect(
            ended, "the call of the model goes on after the run", expected="a closed connection", observed="an open one"
        )
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    talk.script(book)
    with desk.stage.database.locked("public.pickups") as lock:
        run = InBackground(lambda: talk.post(talk.body()))
        expect(lock.waited_for(), "book_pickup was not carried out", expected="a statement that waits for the table")
        read_ended(run.result()).expect("stopped", "max_seconds")
        gone = lock.given_up(seconds=STOP_SECONDS)
        expect(
            gone,
            "the statement still waits after the run",
            expected="it is cancelled in the database",
            observed="it waits",
        )
    expect_equal(desk.pickups(shipment.shipment_id), [], "pickups of a run that had ended")
    talk.script(Reply("In time."))
    talk.say().expect("answered")
    talk.result(str(book.id)).expect("not_run", "the call that the end of the run cut short")


def _users_last(talk: Talk) -> str:
    return next(block.text for block in reversed(talk.last.messages[-1].blocks) if block.kind == "text")
