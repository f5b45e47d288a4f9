"""Task approval: a human's yes, for exactly this call, once, and in time."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from grader.checking import Reply, ToolCall, Turn, check, expect, expect_equal

from .cast import Cast
from .desk import Desk, InBackground, at_once, expect_error, read_ended
from .history import expect_said


@check(task="approval", after=("answers_with_the_help_of_a_tool",))
def asks_before_a_credit(desk: Desk, cast: Cast) -> None:
    """A credit waits for a human, who is shown its exact arguments and their hash; a no is told to the model."""
    invoice, customer = cast.invoice(), cast.customer()
    credit = ToolCall("issue_credit", cast.credit(invoice), id=cast.call_id())
    look = ToolCall("get_shipment", {"shipment_id": cast.shipment(customer).shipment_id}, id=cast.call_id())
    bad = ToolCall("issue_credit", {**credit.arguments, "amount_cents": 0}, id=cast.call_id())
    talk = desk.talk(cast, cast.clerk).script(Turn(look, credit, bad), Reply("Then not."))
    body = talk.body()
    ended = read_ended(talk.post(body)).expect("awaiting_approval")
    expect_equal(len(ended.approvals), 1, "how many approvals one good and one bad credit ask for")
    (approval,) = ended.approvals
    expect_equal(approval.get("tool"), "issue_credit", "the tool of the approval")
    expect_equal(approval.get("arguments"), credit.arguments, "the arguments of the approval")
    expect_equal(approval.get("arguments_hash"), _hash(credit.arguments), "the hash of the arguments")
    expires = datetime.fromisoformat(str(approval.get("expires_at")))
    expect(
        expires.tzinfo is not None and timedelta(0) < expires - datetime.now(UTC) <= timedelta(seconds=601),
        "the approval expires at another time",
        expected="600 seconds from the question on",
        observed=approval.get("expires_at"),
    )
    expect_error(talk.post(talk.body()), (409,), "awaiting_approval", "a message while an approval is pending")
    expect_equal(
        read_ended(talk.post(body)).body, ended.body, "the answer to the message, sent again while it is pending"
    )
    expect_equal(desk.credits(invoice.invoice_id), [], "credits that nobody has approved")
    denied = read_ended(desk.decide(cast.clerk, approval, "deny", arguments_hash=None)).expect("answered")
    talk.result(str(credit.id)).expect("denied", "a call that a human has denied")
    talk.result(str(look.id)).expect(None, "the call beside it")
    talk.result(str(bad.id)).expect("invalid_arguments", "the bad call beside it")
    ids = [str(call.id) for call in (look, credit, bad)]
    expect_said(talk.last, ("user", talk.opening), ("calls", ids), ("results", ids))
    expect_error(desk.decide(cast.clerk, approval), (409,), "decided", "a yes after a no")
    expect_equal(desk.credits(invoice.invoice_id), [], "credits that were denied")
    expect_equal(
        read_ended(talk.post(body)).body, denied.body, "the answer to the message, sent again after the decision"
    )


@check(task="approval", after=("answers_with_the_help_of_a_tool",))
def binds_the_approval_to_its_arguments(desk: Desk, cast: Cast) -> None:
    """A yes to other arguments is none; a yes covers one call, and equal arguments in the next call ask again."""
    invoice = cast.invoice()
    credit = ToolCall("issue_credit", cast.credit(invoice), id=cast.call_id())
    twin = ToolCall("issue_credit", credit.arguments, id=cast.call_id())
    repeated = ToolCall("issue_credit", cast.credit(invoice), id=credit.id)
    talk = desk.talk(cast, cast.clerk).script(credit, twin, repeated, Reply("Both."))
    (approval,) = talk.say().expect("awaiting_approval").approvals
    swapped = _hash({**credit.arguments, "amount_cents": 1})
    for wrong in (swapped, None, approval["arguments_hash"][:-1], 7):
        response = desk.decide(cast.clerk, approval, arguments_hash=wrong)
        expect(response.status in (400, 409, 422), "a yes with another hash was taken", observed=response.text[:300])
        if isinstance(wrong, str):
            expect_error(response, (409,), "arguments_differ", "a yes to other arguments")
    expect_equal(desk.credits(invoice.invoice_id), [], "credits after yeses to other arguments")
    again = read_ended(desk.decide(cast.clerk, approval)).expect("awaiting_approval")
    (second,) = again.approvals
    expect(
        second["approval_id"] != approval["approval_id"],
        "the second call has the approval of the first",
        observed=second,
    )
    (row,) = desk.credits(invoice.invoice_id)
    expected = {**credit.arguments, "issued_by": cast.clerk.user_id, "credit_id": row["credit_id"]}
    expect_equal(row, expected, "the credit that was approved")
    expect_error(desk.decide(cast.clerk, approval), (409,), "decided", "a second yes to the first call")
    # The model then repeats the id of the first call: its result is known, and nobody is asked again.
    read_ended(desk.decide(cast.clerk, second)).expect("answered")
    expect_equal(talk.result(str(credit.id)).value, {"credit_id": row["credit_id"]}, "the result of the repeated call")
    expect_equal(len(desk.credits(invoice.invoice_id)), 2, "credits of two approved calls")


@check(task="approval", after=("binds_the_approval_to_its_arguments",))
def decides_once_at_the_same_moment(desk: Desk, cast: Cast) -> None:
    """Of several decisions at the same moment one counts, and there is one credit at most."""
    invoice = cast.invoice()
    talk = desk.talk(cast, cast.clerk).script(ToolCall("issue_credit", cast.credit(invoice)), Reply("Decided."))
    (approval,) = talk.say().expect("awaiting_approval").approvals
    decisions = ["approve"] * 5 + ["deny"] * 3
    cast.rng.shuffle(decisions)
    responses = at_once(*[lambda one=one: desk.decide(cast.clerk, approval, one) for one in decisions])
    taken = [one for one, response in zip(decisions, responses, strict=True) if response.status == 200]
    expect_equal(len(taken), 1, "how many of eight decisions at the same moment were taken")
    for response in responses:
        if response.status != 200:
            expect_error(response, (409,), "decided", "a decision that came second")
    expect_equal(len(desk.credits(invoice.invoice_id)), taken.count("approve"), f"credits after {taken[0]!r}")


@check(task="approval", after=("carries_a_conversation_on_openai",))
def waits_for_every_approval_of_a_turn(openai_desk: Desk, cast: Cast) -> None:
    """A turn with three credits goes on when the last of them is decided; each result goes to its own call."""
    desk = openai_desk
    invoices = [cast.invoice(), cast.invoice(), cast.invoice()]
    calls = [ToolCall("issue_credit", cast.credit(invoice), id=cast.call_id()) for invoice in invoices]
    talk = desk.talk(cast, cast.clerk).script(Turn(*calls), Reply("Two of three."))
    asked = talk.say().expect("awaiting_approval").approvals
    by_hash = {one["arguments_hash"]: one for one in asked}
    expect_equal(sorted(by_hash), sorted(_hash(call.arguments) for call in calls), "what is asked for")
    pending = [by_hash[_hash(call.arguments)] for call in calls]
    left = read_ended(desk.decide(cast.clerk, pending[1], "deny")).expect("awaiting_approval").approvals
    ids = sorted(one["approval_id"] for one in left)
    expect_equal(ids, sorted(pending[index]["approval_id"] for index in (0, 2)), "the approvals that are left")
    desk.stage.restart()
    crossed = desk.decide(cast.clerk, pending[0], arguments_hash=pending[2]["arguments_hash"])
    expect_error(crossed, (409,), "arguments_differ", "a yes with the hash of another call")
    read_ended(desk.decide(cast.clerk, pending[0])).expect("awaiting_approval")
    expect_equal(len(talk.requests), 1, "how often the model was called while an approval was pending")
    read_ended(desk.decide(cast.clerk, pending[2])).expect("answered")
    for call, word in zip(calls, (None, "denied", None), strict=True):
        talk.result(str(call.id)).expect(word, f"issue_credit {call.arguments}")
    reasons = sorted(row["reason"] for row in desk.credits(*(invoice.invoice_id for invoice in invoices)))
    expect_equal(
        reasons, sorted(str(calls[index].arguments["reason"]) for index in (0, 2)), "the credits in the database"
    )


@check(task="approval", after=("answers_with_the_help_of_a_tool",), seconds=20)
def lets_approvals_expire(tight_desk: Desk, cast: Cast) -> None:
    """After APPROVAL_SECONDS a yes comes too late: 410, no credit, and the conversation takes messages again."""
    desk = tight_desk
    invoice = cast.invoice()
    credit = ToolCall("issue_credit", cast.credit(invoice), id=cast.call_id())
    talk = desk.talk(cast, cast.clerk).script(credit, Reply("Too late."))
    (approval,) = talk.say().expect("awaiting_approval").approvals
    # The database's clock says when: nothing is waited for that depends on how fast this machine is.
    desk.stage.database.rows("SELECT pg_sleep(2.2)")
    expect_error(desk.decide(cast.clerk, approval), (410,), "expired", "a yes that comes too late")
    expect_error(desk.decide(cast.clerk, approval, "deny"), (410,), "expired", "a no that comes too late")
    talk.say().expect("answered")
    talk.result(str(credit.id)).expect("expired", "a call whose approval nobody gave in time")
    expect_error(desk.decide(cast.clerk, approval), (410,), "expired", "a yes after the conversation went on")
    expect_equal(desk.credits(invoice.invoice_id), [], "credits that were approved too late")


@check(task="approval", after=("binds_the_approval_to_its_arguments",), seconds=25)
def survives_a_kill_between_approval_and_effect(desk: Desk, cast: Cast) -> None:
    """Killed after the yes and before the credit, the message sent again goes on: one credit, no second question."""
    invoice = cast.invoice()
    credit = ToolCall("issue_credit", cast.credit(invoice), id=cast.call_id())
    talk = desk.talk(cast, cast.clerk).script(credit, Reply("Credited."))
    body = talk.body()
    (approval,) = read_ended(talk.post(body)).expect("awaiting_approval").approvals
    with desk.stage.database.locked("public.credits") as lock:
        run = InBackground(lambda: desk.decide(cast.clerk, approval))
        expect(
            lock.waited_for(), "the approved call was not carried out", expected="a statement that waits for the table"
        )
        desk.stage.restart(kill=True)
        run.died()
    ended = read_ended(talk.post(body)).expect("answered")
    expect_equal(ended.answer, "Credited.", "the answer of the run that went on")
    expect_equal(len(desk.credits(invoice.invoice_id)), 1, "credits of one approved call")
    expect_error(desk.decide(cast.clerk, approval), (409,), "decided", "a second yes after the kill")
    expect_equal(read_ended(talk.post(body)).body, ended.body, "the answer to the message, sent once more")


def _hash(arguments: Any) -> str:
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
