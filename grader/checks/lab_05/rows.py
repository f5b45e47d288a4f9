"""What the tools must find: rows of the generated company in the shape of the brief."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from grader.checking import Mismatch, expect_equal
from grader.checking.freight import Customer, Invoice, Shipment, ShipmentEvent, User, World

# Customers that checks change something of have places of their own; the others are only read.
LONG, READ_ONLY, GROWING, SNAPSHOT, LIMITED, MOVING = 2, range(3, 15), 15, 16, 17, 18
BOOKING = range(19, 24)


@dataclass(frozen=True)
class Facts:
    """The rows of the run, as tools show them."""

    world: World

    def port(self, code: str) -> str:
        """As in Rotterdam (NLRTM)."""
        return next(f"{port.name} ({port.code})" for port in self.world.ports if port.code == code)

    def customer(self, shipment: Shipment) -> str:
        """Whose it is."""
        return next(each.name for each in self.world.customers if each.customer_id == shipment.customer_id)

    def concise(self, shipment: Shipment) -> dict[str, Any]:
        """As a search shows it."""
        return {
            "shipment_id": shipment.shipment_id,
            "status": shipment.status,
            "origin": self.port(shipment.origin),
            "destination": self.port(shipment.destination),
            "eta": shipment.eta.isoformat(),
        }

    def detailed(self, shipment: Shipment) -> dict[str, Any]:
        """As a search with details shows it."""
        return {
            **self.concise(shipment),
            "customer": self.customer(shipment),
            "weight_kg": shipment.weight_kg,
            "goods": shipment.goods,
            "note": shipment.note,
        }

    def whole(self, shipment: Shipment) -> dict[str, Any]:
        """As orders_get_shipment shows it."""
        events = self.events(shipment)
        invoices = [each for each in self.world.invoices if each.shipment_id == shipment.shipment_id]
        short = ("invoice_id", "amount", "currency", "status")
        return {
            **self.detailed(shipment),
            "last_event": events[0] if events else None,
            "invoices": [{name: invoice(each)[name] for name in short} for each in invoices],
        }

    def events(self, shipment: Shipment, kind: str | None = None) -> list[dict[str, Any]]:
        """The latest first."""
        found = [each for each in self.world.events_of(shipment) if kind in (None, each.kind)]
        return [self._event(each) for each in reversed(found)]

    def _event(self, event: ShipmentEvent) -> dict[str, Any]:
        return {"at": event.at, "kind": event.kind, "place": self.port(event.place), "remark": event.remark}

    def shipments(self, user: User, *statuses: str) -> list[Shipment]:
        """What this user may see, in the order of their ids."""
        found = [
            each
            for each in self.world.shipments
            if user.customer_id in (None, each.customer_id) and (not statuses or each.status in statuses)
        ]
        return sorted(found, key=lambda each: each.shipment_id)

    def invoices(self, user: User, *statuses: str, overdue_on: date | None = None) -> list[Invoice]:
        """What this user may see, in the order of their ids."""
        found = [
            each
            for each in self.world.invoices
            if user.customer_id in (None, each.customer_id)
            and (not statuses or each.status in statuses)
            and (overdue_on is None or (each.status != "paid" and each.due < overdue_on))
        ]
        return sorted(found, key=lambda each: each.invoice_id)

    def reader(self, rng: random.Random, role: str | None = None) -> tuple[Customer, User]:
        """A customer that no check changes, and a user of it."""
        customer = self.world.customers[rng.choice(READ_ONLY)]
        return customer, self.world.user(role or rng.choice(("viewer", "booker")), customer)

    def own(self, place: int, role: str = "booker") -> tuple[Customer, User]:
        """The customer of one of the places above, and a user of it."""
        customer = self.world.customers[place]
        return customer, self.world.user(role, customer)

    @property
    def clerk(self) -> User:
        """One who sees everything."""
        return self.world.user("clerk")


def invoice(each: Invoice) -> dict[str, Any]:
    """As orders_list_invoices shows it."""
    return {
        "invoice_id": each.invoice_id,
        "shipment_id": each.shipment_id,
        "amount": money(each.amount_cents),
        "currency": each.currency,
        "status": each.status,
        "due": each.due.isoformat(),
    }


def money(cents: int) -> str:
    """As in 1234.50."""
    return f"{cents // 100}.{cents % 100:02d}"


def sums(invoices: Iterable[Invoice]) -> list[dict[str, str]]:
    """By currency."""
    cents: dict[str, int] = {}
    for each in invoices:
        cents[each.currency] = cents.get(each.currency, 0) + each.amount_cents
    return [{"currency": currency, "amount": money(cents[currency])} for currency in sorted(cents)]


def read_event(event: Any) -> Any:
    """An event with its time read.

    Raises:
        Mismatch: the time is not ISO 8601 in UTC.
    """
    try:
        at = datetime.fromisoformat(event["at"])
    except (TypeError, KeyError, ValueError) as error:
        raise Mismatch("the time of an event is not ISO 8601", expected='"at"', observed=event) from error
    if at.tzinfo is None or at.utcoffset() != UTC.utcoffset(None):
        raise Mismatch("the time of an event is not in UTC", expected="…Z or …+00:00", observed=event["at"])
    return {**event, "at": at}


def expect_rows(observed: Any, expected: Sequence[Any], what: str, hint: str = "") -> None:
    """The same rows in the same order; the first one that differs is shown."""
    if not isinstance(observed, list):
        raise Mismatch(f"not as promised: {what}", expected=f"a list of {len(expected)}", observed=observed)
    for number, (one, other) in enumerate(zip(observed, expected, strict=False)):
        expect_equal(one, other, f"{what}, row {number + 1} of {len(expected)}", hint=hint)
    expect_equal(len(observed), len(expected), f"{what}, the number of rows", hint=hint)
