"""Task cancel: who hangs up or cancels frees the database, and nobody else notices."""

from __future__ import annotations

import json
import random
import time

from grader.checking import Mismatch, check, expect, expect_equal

from .checks_stdio import Line
from .rows import Facts, expect_rows, invoice
from .server import TOOLS, Server, request

INVOICES, CREATE = TOOLS[3], TOOLS[4]
# The brief promises one second; a busy machine gets more.
SECONDS = 4
HOLDS = 0.7
CLOCK = "A time limit for statements is no substitute: it ends those that are waited for, and lets others run on."
CROWD = 8  # more than the connections that a process may have
WAITING = "Close the connection to see it: does anything tell the task that runs the query, and that the database?"


@check(task="cancel", after=("counts_money_to_the_cent",), seconds=20)
def hanging_up_frees_the_database(server: Server, rng: random.Random) -> None:
    """When a client closes its connection, its statement is cancelled; another client's goes on and is answered."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    for replica in server.replicas:
        numbers = [server.number() for _ in range(2)]
        leaving, staying = (
            request("tools/call", {"name": INVOICES, "arguments": {"limit": 200}}, number=number) for number in numbers
        )
        with server.stage.database.locked("public.invoices") as lock, server.begun(replica, staying, user) as stays:
            expect(lock.waited_for(1), f"a call of {INVOICES} does not look at the invoices")
            alone = server.stage.database.waiting()
            with server.begun(replica, leaving, user) as leaves:
                expect(lock.waited_for(alone + 1), "two calls do not run side by side on one replica")
                leaves.hang_up()
            expect(
                lock.given_up(seconds=SECONDS, left=alone),
                "a client has hung up, and its statement still waits in the database",
                expected="cancelled within a second",
                observed=f"{server.stage.database.waiting()} sessions wait, of which {alone} should",
                hint=WAITING,
            )
            time.sleep(HOLDS)  # who cancels by the clock has cancelled the other one, which is older, by now
            expect(server.stage.database.waiting() == alone, "another client's statement was cancelled too", hint=CLOCK)
            expect(stays.silent(), "another client was answered while its table was locked")
        _expect_outcome(server, numbers[0], "cancelled")
        _expect_outcome(server, numbers[1], "ok", "cancelled")  # answered behind the lock, or hung up before
        found = server.call_with(user, INVOICES, {"limit": 200}, on=replica).found
        expect_rows(found["invoices"], [invoice(each) for each in facts.invoices(user)], "invoices after that")


@check(task="cancel", after=("hanging_up_frees_the_database",), seconds=40)
def a_crowd_that_leaves_takes_nothing_with_it(server: Server, rng: random.Random) -> None:
    """Clients that hang up one after the other leave a replica that serves as before."""
    _, user = Facts(server.world).reader(rng)
    replica = server.stage
    with server.stage.database.locked("public.invoices") as lock:
        for _ in range(CROWD):
            message = request("tools/call", {"name": INVOICES, "arguments": {}}, number=server.number())
            with server.begun(replica, message, user) as begun:
                expect(
                    lock.waited_for(1),
                    "a call does not reach the database any more, after others have hung up",
                    hint="Does a cancelled call give its connection back to the pool, in a state that can be used?",
                )
                begun.hang_up()
            expect(lock.given_up(seconds=SECONDS), "a client has hung up, and its statement waits on", hint=WAITING)
        expect_equal(
            len(server.call_with(user, TOOLS[0], {"limit": 1}, on=replica).found["shipments"]), 1, "a search meanwhile"
        )
    server.call_with(user, INVOICES, {"limit": 1}, on=replica).found  # noqa: B018 - it is one


@check(task="cancel", after=("serves_side_by_side",), seconds=20)
def a_cancelled_request_frees_the_database(server: Server, rng: random.Random) -> None:
    """On stdio notifications/cancelled ends a statement, nothing more is sent for it, and others go on."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    line = Line(server, user, "cancelling")
    (first, leaving), (_, staying) = (line.begin(INVOICES, limit=200) for _ in range(2))
    second = json.loads(staying)["id"]
    with server.stage.database.locked("public.invoices") as lock:
        line.process.send(leaving)
        expect(lock.waited_for(1), f"a call of {INVOICES} does not look at the invoices")
        line.process.send(staying, allowed=(second,))
        expect(lock.waited_for(2), "two calls do not run side by side on stdio")
        line.process.notify("notifications/cancelled", {"requestId": first, "reason": "not needed"})
        expect(
            lock.given_up(seconds=SECONDS, left=1),
            "a request was cancelled, and its statement still waits in the database",
            expected="cancelled within a second",
            observed=f"{server.stage.database.waiting()} sessions wait",
            hint="The task that runs the query has to be cancelled, and the cancellation has to reach the database.",
        )
        expect(server.stage.database.waiting() == 1, "another request's statement was cancelled with it")
        line.process.notify("notifications/cancelled", {"requestId": server.number()})  # of nobody: no harm
        _expect_outcome(server, first, "cancelled")
    found = line.call(INVOICES, limit=200).found  # an answer to the cancelled one would be found here
    expect_rows(found["invoices"], [invoice(each) for each in facts.invoices(user)], "invoices after that")
    _expect_outcome(server, second, "ok")
    line.process.expect_sound()


def _expect_outcome(server: Server, number: int, *outcomes: str) -> None:
    """One row in the audit log, within some seconds: nobody waits for the answer to a call that was given up."""
    deadline = time.monotonic() + 5
    rows: list[dict[str, object]] = []
    while time.monotonic() < deadline:
        rows = server.audit(number)
        if rows:
            break
        time.sleep(0.02)  # a row announces itself to nobody
    if [row["outcome"] for row in rows] not in [[outcome] for outcome in outcomes]:
        raise Mismatch(
            "not as promised: the row of a call in the audit log",
            expected=f"one row with the outcome {' or '.join(outcomes)}",
            observed=rows,
        )
