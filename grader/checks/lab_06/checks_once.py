"""Task once: one effect for one call, through repetition, SIGKILL and races."""

from __future__ import annotations

from collections.abc import Callable

from grader.checking import Fail, Reply, Request, Step, ToolCall, Turn, check, expect, expect_equal

from .cast import Cast
from .desk import Desk, InBackground, Rows, at_once, expect_error, read_ended
from .history import expect_said, outcomes

LATE = "The answer to a question that was asked twice."


@check(task="once", after=("answers_with_the_help_of_a_tool",))
def carries_out_an_id_once(desk: Desk, cast: Cast) -> None:
    """A repeated id gets the result of the first call; another conversation or another id is another wish."""
    customer = cast.customer()
    user, shipment = cast.booker(customer), cast.booked(customer)
    wish = cast.pickup(shipment)
    name = cast.call_id()
    book = ToolCall("book_pickup", wish, id=name)
    other = ToolCall("book_pickup", {**wish, "date": "2026-12-24"}, id=name)
    talk = desk.talk(cast, user).script(book, other, Reply("Once."), book, Reply("Still once."))
    talk.say().expect("answered")
    (row,) = _only(desk.pickups(shipment.shipment_id), "pickups of one id that was called twice")
    expect_equal(talk.result(name).value, {"pickup_id": row["pickup_id"]}, "the result of the repeated call")
    talk.say().expect("answered")
    _only(desk.pickups(shipment.shipment_id), "pickups of one id that was called again in the next run")
    again = ToolCall("book_pickup", wish, id=cast.call_id())
    talk.script(again, Reply("Twice."))
    talk.say().expect("answered")
    expect_equal(len(desk.pickups(shipment.shipment_id)), 2, "pickups after equal arguments under another id")
    elsewhere = desk.talk(cast, user).script(book, Reply("Elsewhere."))
    elsewhere.say().expect("answered")
    expect_equal(len(desk.pickups(shipment.shipment_id)), 3, "pickups after the same id in another conversation")


@check(task="once", after=("answers_with_the_help_of_a_tool",))
def carries_out_twenty_equal_messages_once(desk: Desk, cast: Cast) -> None:
    """One message that arrives twenty times at once is one run with one effect."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    talk = desk.talk(cast, cast.booker(customer))
    talk.model.respond(_insistent(cast, cast.pickup(shipment), Reply("Booked.")))
    body = talk.body()
    responses = at_once(*[lambda: talk.post(body)] * 20)
    answers = [read_ended(response).body for response in responses if response.status == 200]
    for response in responses:
        if response.status != 200:
            expect_error(response, (409,), "busy", "a message that is being carried out")
    final = read_ended(talk.post(body)).expect("answered").body
    expect(answers, "none of twenty equal messages was answered", expected="one at least", observed="409 for all")
    expect(
        all(answer == final for answer in answers),
        "equal messages got different answers",
        expected=final,
        observed=answers,
    )
    _only(desk.pickups(shipment.shipment_id), "pickups of one message that was sent twenty times at once")
    expect_equal(len(talk.requests), 2, "how often the model was called for it")


@check(task="once", after=("carries_out_an_id_once",), seconds=25)
def survives_a_kill_after_the_effect(desk: Desk, cast: Cast) -> None:
    """Killed while it waits for the model after an effect, it goes on from there: the model sees the result."""
    _killed_after_the_effect(desk, cast)


@check(task="once", after=("carries_a_conversation_on_openai",), seconds=25)
def survives_a_kill_on_openai(openai_desk: Desk, cast: Cast) -> None:
    """The same on the OpenAI wire."""
    _killed_after_the_effect(openai_desk, cast)


def _killed_after_the_effect(desk: Desk, cast: Cast) -> None:
    customer = cast.customer()
    shipment = cast.booked(customer)
    talk = desk.talk(cast, cast.booker(customer))
    # A model that is asked from the beginning books again, under another id: what the story's model did.
    talk.model.respond(_insistent(cast, cast.pickup(shipment), Reply(LATE)))
    body = talk.body()
    with talk.held(_has_results) as arrived:
        run = InBackground(lambda: talk.post(body))
        arrived()
        desk.stage.restart(kill=True)
        run.died()
    ended = read_ended(talk.post(body)).expect("answered")
    expect_equal((ended.answer, ended.body["steps"]), (LATE, 2), "answer and steps of the run that went on")
    (row,) = _only(desk.pickups(shipment.shipment_id), "pickups of a run that was killed after its effect")
    (result,) = outcomes(talk.last).values()
    expect_equal(result.value, {"pickup_id": row["pickup_id"]}, "the result that the model was shown")


@check(task="once", after=("carries_out_an_id_once",), seconds=25)
def survives_a_kill_inside_the_effect(desk: Desk, cast: Cast) -> None:
    """Killed while the row is being written, it goes on: one row, and every call of the turn has its result."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    look = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk = desk.talk(cast, cast.booker(customer)).script(Turn(look, book), Reply("Booked after all."))
    body = talk.body()
    with desk.stage.database.locked("public.pickups") as lock:
        run = InBackground(lambda: talk.post(body))
        expect(lock.waited_for(), "book_pickup was not carried out", expected="a statement that waits for the table")
        desk.stage.kill()
        run.died()
    # The dead program's statement gets its table now: whether it counts is a matter of the transaction that it is in.
    desk.stage.restart(kill=True)
    read_ended(talk.post(body)).expect("answered")
    (row,) = _only(desk.pickups(shipment.shipment_id), "pickups of a run that was killed inside its effect")
    expect_equal(talk.result(str(book.id)).value, {"pickup_id": row["pickup_id"]}, "the result of the call")
    ids = [str(look.id), str(book.id)]
    expect_said(talk.last, ("user", talk.opening), ("calls", ids), ("results", ids))


@check(task="once", after=("answers_with_the_help_of_a_tool",), seconds=25)
def survives_a_kill_before_the_first_reply(desk: Desk, cast: Cast) -> None:
    """Killed before the model has said anything, the message can be sent again: nothing is busy."""
    talk = desk.talk(cast, cast.viewer(cast.customer())).script(Reply("Lost."), Reply("Found."))
    body = talk.body()
    with talk.held() as arrived:
        run = InBackground(lambda: talk.post(body))
        arrived()
        desk.stage.restart(kill=True)
        run.died()
    ended = read_ended(talk.post(body)).expect("answered")
    expect_equal((ended.answer, ended.body["steps"]), ("Found.", 1), "answer and steps of the message sent again")
    expect_said(talk.last, ("user", talk.opening))


@check(task="once", after=("survives_a_kill_inside_the_effect",), seconds=25)
def closes_a_run_that_was_given_up(desk: Desk, cast: Cast) -> None:
    """A new message after an interrupted run answers what that had left open; the old message is superseded."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    look = ToolCall("get_shipment", {"shipment_id": shipment.shipment_id}, id=cast.call_id())
    talk = desk.talk(cast, cast.booker(customer)).script(Turn(book, look))
    old = talk.body()
    with desk.stage.database.locked("public.pickups") as lock:
        run = InBackground(lambda: talk.post(old))
        expect(lock.waited_for(), "book_pickup was not carried out", expected="a statement that waits for the table")
        desk.stage.restart(kill=True)
        run.died()
    expect(lock.given_up(seconds=5), "the dead program's statement still waits", expected="the table is free again")
    talk.script(Reply("A new start."))
    new = talk.body()
    read_ended(talk.post(new)).expect("answered")
    rows = desk.pickups(shipment.shipment_id)
    told = talk.result(str(book.id))
    if rows:
        expect_equal(
            told.value, {"pickup_id": _only(rows, "pickups")[0]["pickup_id"]}, "the result of an effect that happened"
        )
    else:
        told.expect("not_run", "a call that was cut short by a kill")
    ids = [str(book.id), str(look.id)]
    expect_said(talk.last, ("user", talk.opening), ("calls", ids), ("results", ids), ("user", str(new["message"])))
    expect_error(talk.post(old), (409,), "superseded", "the message of a run that was given up")
    expect_equal(desk.pickups(shipment.shipment_id), rows, "pickups after the old message was sent again")


@check(task="once", after=("carries_out_an_id_once",))
def goes_on_after_an_upstream_failure(desk: Desk, cast: Cast) -> None:
    """After a 502 behind an effect the message goes on; a new message instead shows the model what has happened."""
    customer = cast.customer()
    shipment = cast.booked(customer)
    book = ToolCall("book_pickup", cast.pickup(shipment), id=cast.call_id())
    talk = desk.talk(cast, cast.booker(customer)).script(book, Fail(529), Fail(529), Fail(529))
    body = talk.body()
    expect_error(talk.post(body), (502,), "upstream", "a run whose model fails behind an effect")
    talk.script(Fail(500), Fail(500), Fail(500), Reply("At last."))
    expect_error(talk.post(body), (502,), "upstream", "the same run when the model fails again")
    new = talk.body()
    read_ended(talk.post(new)).expect("answered")
    (row,) = _only(desk.pickups(shipment.shipment_id), "pickups of a run that failed twice behind its effect")
    expect_equal(talk.result(str(book.id)).value, {"pickup_id": row["pickup_id"]}, "the result of the effect")
    expect_error(talk.post(body), (409,), "superseded", "the message of a run that was given up")


@check(task="once", after=("binds_the_approval_to_its_arguments",))
def never_credits_more_than_the_invoice(desk: Desk, cast: Cast) -> None:
    """Credits that are issued at the same moment never exceed the invoice together; those that would are conflicts."""
    invoice = cast.invoice()
    query = "SELECT COALESCE(sum(amount_cents), 0)::bigint AS cents FROM public.credits WHERE invoice_id = %s"
    left = invoice.amount_cents - desk.stage.database.rows(query, [invoice.invoice_id])[0]["cents"]
    part = left * 2 // 5
    desk.stage.database.change(  # what another service of the company has credited before
        "INSERT INTO public.credits (invoice_id, amount_cents, reason, issued_by) VALUES (%s, %s, 'by phone', %s)",
        [invoice.invoice_id, left - 2 * part + 1, cast.clerk.user_id],
    )
    talks = [desk.talk(cast, cast.clerk) for _ in range(3)]
    calls = [ToolCall("issue_credit", cast.credit(invoice, part), id=cast.call_id()) for _ in talks]
    asked = []
    for talk, call in zip(talks, calls, strict=True):
        talk.script(call, Reply(f"So it is: {call.id}."))
        asked += talk.say().expect("awaiting_approval").approvals
    with desk.stage.database.locked("public.credits", readable=True) as lock:
        # Whoever looks first and writes later has looked by now: all see the same sum, and wait with their rows.
        runs = [InBackground(lambda one=one: desk.decide(cast.clerk, one)) for one in asked]  # type: ignore[misc]
        lock.waited_for(3, seconds=2)
    for run in runs:
        read_ended(run.result()).expect("answered")
    words = [talk.result(str(call.id)).word for talk, call in zip(talks, calls, strict=True)]
    credited = desk.stage.database.rows(query, [invoice.invoice_id])[0]["cents"]
    expect(
        credited <= invoice.amount_cents,
        "an invoice was credited beyond its amount",
        expected=f"{invoice.amount_cents} cents at most",
        observed=credited,
        hint="Between the sum and the insert somebody else inserts, too. What makes the second one wait?",
    )
    expect_equal(sorted(map(str, words)), ["None", "conflict", "conflict"], "what became of three credits at once")


def _insistent(cast: Cast, wish: dict[str, object], last: Step) -> Callable[[Request], Step]:
    """A model that books whenever it sees no result yet, each time under a new id."""

    def respond(request: Request) -> Step:
        return last if _has_results(request) else ToolCall("book_pickup", wish, id=cast.call_id())

    return respond


def _has_results(request: Request) -> bool:
    return bool(outcomes(request))


def _only(rows: Rows, what: str) -> Rows:
    expect(len(rows) == 1, f"not as promised: {what}", expected="one row", observed=rows or "no row")
    return rows
