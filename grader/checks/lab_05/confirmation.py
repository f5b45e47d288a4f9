"""One booking of a pickup as a client goes through it: the first round, the human's answer, the second round."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grader.checking import Mismatch, Stage, expect, expect_equal
from grader.checking.freight import User

from .rows import Facts
from .server import TOOLS, Called, Sent, Server

BOOK = TOOLS[6]
YES: Mapping[str, Any] = {"action": "accept", "content": {"confirm": True}}


@dataclass(frozen=True)
class Round:
    """What the first round came back with."""

    called: Called

    @property
    def state(self) -> str:
        """The requestState.

        Raises:
            Mismatch: the user was not asked.
        """
        state = self.called.result.get("requestState")
        if self.called.result.get("resultType") != "input_required" or not isinstance(state, str):
            raise Mismatch(
                "a booking does not ask its user",
                expected='"resultType": "input_required", and a requestState',
                observed=self.called.result,
            )
        return state

    @property
    def question(self) -> tuple[str, Mapping[str, Any]]:
        """Its key and the params of the one elicitation.

        Raises:
            Mismatch: it is none, or there are more.
        """
        requests = self.called.result.get("inputRequests")
        if isinstance(requests, dict) and len(requests) == 1:
            ((key, asked),) = requests.items()
            if isinstance(asked, dict) and asked.get("method") == "elicitation/create":
                return key, asked.get("params") or {}
        raise Mismatch(
            "a booking does not ask one question", expected="one elicitation/create", observed=self.called.result
        )


@dataclass
class Booking:
    """A pickup that `by` wants to book: a shipment that is booked, on a day that no other booking has."""

    server: Server
    by: User
    shipment_id: str
    day: str
    window: str
    key: str = field(default="")

    @staticmethod
    def draw(server: Server, user: User, rng: random.Random, by: User | None = None) -> Booking:
        """For a shipment that `user` may see."""
        shipment = rng.choice(Facts(server.world).shipments(user, "booked"))
        day = f"20{rng.randrange(27, 60)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
        return Booking(server, by or user, shipment.shipment_id, day, rng.choice(("morning", "afternoon")))

    @property
    def arguments(self) -> dict[str, str]:
        """Of the tool."""
        return {"shipment_id": self.shipment_id, "date": self.day, "window": self.window}

    def ask(self, on: Stage, **options: Any) -> Round:
        """The first round, and the key of its question kept."""
        first = Round(self.server.call_with(self.by, BOOK, self.arguments, on=on, **options))
        if not first.called.failed:
            self.key, _ = first.question
        return first

    def answers(self, state: str, answer: Mapping[str, Any] = YES) -> dict[str, Any]:
        """What the second round brings beside the arguments."""
        return {"requestState": state, "inputResponses": {self.key or "confirmation": answer}}

    def answer(self, on: Stage, state: str, answer: Mapping[str, Any] = YES) -> Called:
        """The second round, as a result of the tool."""
        return self.server.call_with(self.by, BOOK, self.arguments, more=self.answers(state, answer), on=on)

    def send(self, on: Stage, state: str, *, by: User | None = None, number: int | None = None, **changed: Any) -> Sent:
        """The second round with a yes, and with other arguments or another user where they are named."""
        params = {"name": BOOK, "arguments": {**self.arguments, **changed}, **self.answers(state)}
        return self.server.send("tools/call", params, user=by or self.by, on=on, number=number)

    def rows(self) -> list[dict[str, Any]]:
        """The pickups of this shipment on this or another day that this run's booking may have made."""
        return self.server.stage.database.rows(
            "SELECT shipment_id, pickup_date::text AS day, time_window, booked_by FROM public.pickups"
            " WHERE shipment_id = %s AND pickup_date = %s",
            [self.shipment_id, self.day],
        )

    def expect_booked(self, times: int, what: str) -> None:
        """So many rows, each as it was confirmed.

        Raises:
            Mismatch: more, fewer or others.
        """
        row = {
            "shipment_id": self.shipment_id,
            "day": self.day,
            "time_window": self.window,
            "booked_by": self.by.user_id,
        }
        expect_equal(self.rows(), [row] * times, f"the pickups {what}")


def all_pickups(server: Server) -> int:
    """How many there are of everybody."""
    (row,) = server.stage.database.rows("SELECT count(*) AS n FROM public.pickups")
    return int(row["n"])


def expect_asked(first: Round, booking: Booking) -> None:
    """The question names what the human says yes to, and asks for one yes or no."""
    _, params = first.question
    message = params.get("message")
    for word in (booking.shipment_id, booking.day, booking.window):
        expect(
            isinstance(message, str) and word in message,
            "the question does not say what is booked",
            expected=word,
            observed=params,
        )
    schema = params.get("requestedSchema") or {}
    properties = schema.get("properties") or {}
    expect(
        set(properties) == {"confirm"}
        and properties["confirm"].get("type") == "boolean"
        and schema.get("required") == ["confirm"],
        "the question does not ask for one yes or no",
        expected="a required boolean `confirm`",
        observed=schema,
    )
