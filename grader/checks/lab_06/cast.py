"""Draws the people and rows that a check plays with, so that no two checks meet on the same row."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from grader.checking.freight import TODAY, Customer, Invoice, Shipment, User, World
from grader.checking.freight.world import WITH_LONG_HISTORY

WORDS = ("late", "damaged", "wet", "short", "duplicate", "overcharged")
FAR_WORDS = ("Zürich", "naïve", "東京", "“quoted”", "№ 7")  # in every reason: JSON has more than one way to write them


@dataclass(frozen=True)
class Cast:
    """Two customers of this check with their people, and rows in the states that it needs."""

    world: World
    rng: random.Random

    def customer(self, *others: Customer) -> Customer:
        """Any customer but these, and none whose history is too long for a prompt."""
        choice = [customer for customer in self.world.customers[WITH_LONG_HISTORY:] if customer not in others]
        return self.rng.choice(choice)

    def viewer(self, customer: Customer) -> User:
        return self.world.user("viewer", customer)

    def booker(self, customer: Customer) -> User:
        return self.world.user("booker", customer)

    @property
    def clerk(self) -> User:
        return self.world.user("clerk")

    def booked(self, customer: Customer) -> Shipment:
        """A shipment that can be picked up."""
        return self.rng.choice(self.world.shipments_of(customer, "booked"))

    def shipment(self, customer: Customer) -> Shipment:
        return self.rng.choice(self.world.shipments_of(customer))

    def invoice(self, customer: Customer | None = None) -> Invoice:
        """An invoice of this customer, or of any."""
        return self.rng.choice(self.world.invoices_of(customer or self.customer()))

    def pickup(self, shipment: Shipment) -> dict[str, object]:
        """Arguments of `book_pickup` that are valid."""
        day = TODAY.replace(day=self.rng.randint(3, 28))
        return {
            "shipment_id": shipment.shipment_id,
            "date": day.isoformat(),
            "window": self.rng.choice(("morning", "afternoon")),
        }

    def credit(self, invoice: Invoice, amount_cents: int | None = None) -> dict[str, object]:
        """Arguments of `issue_credit` that are valid, in an order that is not sorted."""
        amount = amount_cents or self.rng.randint(1, invoice.amount_cents // 4)
        reason = f"{self.rng.choice(WORDS)} {self.rng.choice(FAR_WORDS)} {self.number()}"
        return {"reason": reason, "invoice_id": invoice.invoice_id, "amount_cents": amount}

    def number(self) -> str:
        """Digits that nobody else draws."""
        return f"{self.rng.getrandbits(40):013d}"

    def call_id(self) -> str:
        """An id for a tool call, in no vendor's style."""
        return f"call-{self.number()}"

    def nobody(self, user: User) -> User:
        """A user that is in no table."""
        return replace(user, user_id=f"u-{self.number()}")
