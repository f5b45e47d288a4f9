"""Task ergonomics: an agent gets its answers in few calls and few tokens, and a wrong word costs it one call."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from grader.checking import check, expect, expect_equal, note
from grader.checking.freight import TODAY

from .agent import CREATE, GET, HISTORY, INVOICES, READ, SEARCH, Agent
from .confirmation import Booking
from .rows import Facts, sums
from .server import TOOLS, Server

CALLS = 30
TOKENS = 25_000


@check(task="ergonomics", after=("finds_shipments", "counts_money_to_the_cent", "books_after_a_yes"))
def ten_questions_fit_a_budget(server: Server, rng: random.Random) -> None:
    """An agent answers ten questions rightly with 30 calls and 25,000 tokens, the list of tools included."""
    facts = Facts(server.world)
    customer = server.world.customers[rng.choice((0, 1))]  # with a history that fits no prompt
    user = server.world.user("booker", customer)
    agent = Agent(server, user)
    expect(set(TOOLS) <= agent.read_tools(), "the agent does not find the seven tools", expected=TOOLS)
    for question, ask, answer in _questions(agent, facts, rng):
        calls, tokens = agent.calls, agent.tokens
        expect_equal(ask(), answer, f"what the agent found out: {question}")
        note(f"{agent.calls - calls} calls, {agent.tokens - tokens:,} tokens: {question}")
    note(f"{agent.calls} of {CALLS} calls and {agent.tokens:,} of {TOKENS:,} tokens")
    expect(agent.calls <= CALLS, "the agent needs too many calls", expected=CALLS, observed=agent.calls)
    expect(
        agent.tokens <= TOKENS,
        "the agent has to read too much",
        expected=f"{TOKENS:,} tokens",
        observed=f"{agent.tokens:,}",
        hint="Short rows by default, totals and sums in every list, and descriptions that a model reads in one go.",
    )


def _questions(agent: Agent, facts: Facts, rng: random.Random) -> list[tuple[str, Callable[[], Any], Any]]:
    user = agent.user
    mine = facts.shipments(user)
    held = rng.choice(facts.shipments(user, "customs_hold"))
    port = next(each for each in facts.world.ports if each.code == held.origin)
    at_port = [each for each in facts.shipments(user, "customs_hold") if port.code in (each.origin, each.destination)]
    wrong = port.name[:2] + port.name[3:]
    long = max(mine, key=lambda each: len(facts.world.events_of(each)))
    delivered = facts.shipments(user, "delivered")
    booking = Booking.draw(agent.server, user, rng)

    def why_held() -> Any:
        found = agent.use(SEARCH, port=port.name, status="customs_hold")["shipments"]
        return {
            each["shipment_id"]: agent.use(GET, shipment_id=each["shipment_id"])["last_event"]["remark"]
            for each in found
        }

    def weight() -> int:
        return sum(
            each["weight_kg"] for each in agent.pages(SEARCH, "shipments", status="delivered", detail="detailed")
        )

    def by_destination() -> Any:
        report = agent.use(CREATE)["report"]
        return Counter(each["destination"] for each in agent.pages(READ, "shipments", report=report))

    def latest() -> Any:
        return [each["remark"] for each in agent.use(HISTORY, shipment_id=long.shipment_id, limit=3)["events"]]

    return [
        (
            f"which of my shipments through {port.name} are held, and why",
            why_held,
            {each.shipment_id: facts.events(each)[0]["remark"] for each in at_port},
        ),
        (
            f"what do I owe, by currency, overdue on {TODAY}",
            lambda: agent.use(INVOICES, overdue_on=TODAY.isoformat(), limit=1)["sums"],
            sums(facts.invoices(user, overdue_on=TODAY)),
        ),
        (
            f"how many shipments go through {wrong}, written like that",
            lambda: agent.use(SEARCH, port=wrong, limit=1)["total"],
            sum(port.code in (each.origin, each.destination) for each in mine),
        ),
        (
            "how many are in transit",
            lambda: agent.use(SEARCH, status="in_transit", limit=1)["total"],
            len(facts.shipments(user, "in_transit")),
        ),
        (
            "how many are on custom hold, in the user's own words",
            lambda: agent.use(SEARCH, status="custom_holds", limit=1)["total"],
            len(facts.shipments(user, "customs_hold")),
        ),
        (
            f"how often was {long.shipment_id} scanned",
            lambda: agent.use(HISTORY, shipment_id=long.shipment_id, kind="scanned", limit=1)["total"],
            len(facts.events(long, "scanned")),
        ),
        (
            f"what happened last to {long.shipment_id}",
            latest,
            [each["remark"] for each in facts.events(long)[:3]],
        ),
        ("what do my delivered shipments weigh together", weight, sum(each.weight_kg for each in delivered)),
        ("how many go where, as a report", by_destination, Counter(facts.port(each.destination) for each in mine)),
        (
            "book a pickup, and my user says yes",
            lambda: agent.book(booking.arguments)["shipment_id"],
            booking.shipment_id,
        ),
    ]


@check(task="ergonomics", after=("tells_what_is_wrong_with_an_argument",))
def errors_say_what_would_have_been_right(server: Server, rng: random.Random) -> None:
    """An unknown port names the nearest ones with their codes, a bad word names all that there are."""
    facts = Facts(server.world)
    _, user = facts.reader(rng)
    wrong = {"Roterdam": "NLRTM", "Hambourg": "DEHAM", "Singapur": "SGSIN", "NLRTN": "NLRTM", "yokohamma": "JPYOK"}
    for word, code in wrong.items():
        sentence = server.call(user, SEARCH, port=word).sentence
        expect(
            facts.port(code) in sentence, "the nearest port is not named", expected=facts.port(code), observed=sentence
        )
    for tool, words in (
        (SEARCH, ("booked", "in_transit", "customs_hold", "delivered", "cancelled")),
        (CREATE, ("booked", "in_transit", "customs_hold", "delivered", "cancelled")),
        (INVOICES, ("open", "paid", "disputed")),
    ):
        sentence = server.call(user, tool, status="unknown").sentence
        for word in words:
            expect(
                word in sentence,
                f"an error of {tool} does not name the words that there are",
                expected=word,
                observed=sentence,
            )
    concise = server.call(user, SEARCH).found["shipments"]
    expect_equal(
        set(concise[0]),
        {"shipment_id", "status", "origin", "destination", "eta"},
        "the fields of a row without details",
    )
