"""Generates Meridian Freight's orders for one run: the same seed gives the same company, another seed other facts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

SCHEMA = (Path(__file__).parent / "schema.sql").read_text("utf-8")
TODAY = date(2026, 11, 2)  # the day on which every run takes place

CUSTOMERS = 24
SHIPMENTS_EACH = (8, 24)
EVENTS_EACH = (3, 12)
LONG_HISTORY = 900  # events of a shipment whose history does not fit a prompt
WITH_LONG_HISTORY = 3  # so many customers, the first ones, have one such shipment

PORTS = {
    "NLRTM": "Rotterdam",
    "DEHAM": "Hamburg",
    "BEANR": "Antwerp",
    "ESVLC": "Valencia",
    "ITGOA": "Genoa",
    "GRPIR": "Piraeus",
    "SGSIN": "Singapore",
    "CNSHA": "Shanghai",
    "JPYOK": "Yokohama",
    "USNYC": "New York",
    "BRSSZ": "Santos",
    "ZADUR": "Durban",
}
GOODS = ("machine parts", "coffee", "textiles", "solar panels", "lithium cells", "tyres", "ceramics", "wine", "paper")
STATUSES = ("booked", "in_transit", "in_transit", "customs_hold", "delivered", "delivered", "cancelled")
COUNTRIES = (("NL", "EUR"), ("DE", "EUR"), ("GB", "GBP"), ("US", "USD"), ("JP", "JPY"), ("CH", "CHF"))
_FIRST = ("Aster", "Borealis", "Calder", "Dunmore", "Eskdale", "Fenwick", "Galloway", "Harrow", "Ingram", "Juniper")
_SECOND = ("Foods", "Machines", "Trading", "Energy", "Textiles", "Motors", "Ceramics", "Imports")
_PEOPLE = ("Ana", "Boris", "Chidi", "Dana", "Emeka", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kofi", "Lena")
_FAMILY = ("Adeyemi", "Brandt", "Castro", "Dubois", "Eriksen", "Fischer", "Haddad", "Ito", "Kaya", "Novak")


@dataclass(frozen=True)
class Customer:
    customer_id: str
    name: str
    country: str
    currency: str


@dataclass(frozen=True)
class User:
    user_id: str
    customer_id: str | None
    name: str
    role: str


@dataclass(frozen=True)
class Port:
    code: str
    name: str


@dataclass(frozen=True)
class Shipment:
    shipment_id: str
    customer_id: str
    origin: str
    destination: str
    status: str
    weight_kg: int
    goods: str
    eta: date
    note: str


@dataclass(frozen=True)
class ShipmentEvent:
    shipment_id: str
    at: datetime
    kind: str
    place: str
    remark: str


@dataclass(frozen=True)
class Invoice:
    invoice_id: str
    shipment_id: str
    customer_id: str
    amount_cents: int
    currency: str
    status: str
    due: date


@dataclass(frozen=True)
class World:
    """All rows of one run, as the database holds them at the start."""

    ports: tuple[Port, ...]
    customers: tuple[Customer, ...]
    users: tuple[User, ...]
    shipments: tuple[Shipment, ...]
    shipment_events: tuple[ShipmentEvent, ...]
    invoices: tuple[Invoice, ...]

    def sql(self) -> str:
        """The schema and every row, as a script for `starting_database`."""
        return "\n".join([SCHEMA, *(_insert(item.name, getattr(self, item.name)) for item in fields(self))])

    def user(self, role: str, customer: Customer | None = None) -> User:
        """The first user with this role, of this customer where one is named."""
        wanted = customer.customer_id if customer else None
        return next(u for u in self.users if u.role == role and (customer is None or u.customer_id == wanted))

    def shipments_of(self, customer: Customer, *statuses: str) -> tuple[Shipment, ...]:
        """In the order of their ids; of these statuses where any are named."""
        return tuple(
            s
            for s in self.shipments
            if s.customer_id == customer.customer_id and (not statuses or s.status in statuses)
        )

    def events_of(self, shipment: Shipment) -> tuple[ShipmentEvent, ...]:
        """From the first to the last."""
        return tuple(e for e in self.shipment_events if e.shipment_id == shipment.shipment_id)

    def invoices_of(self, customer: Customer, *statuses: str) -> tuple[Invoice, ...]:
        """In the order of their ids; of these statuses where any are named."""
        return tuple(
            i for i in self.invoices if i.customer_id == customer.customer_id and (not statuses or i.status in statuses)
        )

    def long_history(self, customer: Customer) -> Shipment:
        """The shipment, of one of the first three customers, whose events are too many for a prompt."""
        return next(s for s in self.shipments_of(customer) if len(self.events_of(s)) >= LONG_HISTORY)


def make_world(seed: object) -> World:
    """A company: every customer has a viewer, a booker and shipments in every status; two clerks work for Meridian."""
    rng = random.Random(f"{seed}:freight")  # noqa: S311 - test data, no secret
    customers = tuple(_customers(rng))
    users = (*_users(rng, customers), *_clerks(rng))
    shipments = tuple(_shipments(rng, customers))
    return World(
        ports=tuple(Port(code, name) for code, name in PORTS.items()),
        customers=customers,
        users=users,
        shipments=shipments,
        shipment_events=tuple(_events(rng, shipments)),
        invoices=tuple(_invoices(rng, customers, shipments)),
    )


def _customers(rng: random.Random) -> Iterator[Customer]:
    names = rng.sample([f"{first} {second}" for first in _FIRST for second in _SECOND], CUSTOMERS)
    for number, name in zip(rng.sample(range(1000, 10_000), CUSTOMERS), names, strict=True):
        country, currency = rng.choice(COUNTRIES)
        yield Customer(f"C-{number}", name, country, currency)


def _users(rng: random.Random, customers: Iterable[Customer]) -> Iterator[User]:
    for customer in customers:
        for role in ("viewer", "booker"):
            yield User(_user_id(rng), customer.customer_id, _person(rng), role)


def _clerks(rng: random.Random) -> Iterator[User]:
    for _ in range(2):
        yield User(_user_id(rng), None, _person(rng), "clerk")


def _shipments(rng: random.Random, customers: Iterable[Customer]) -> Iterator[Shipment]:
    numbers = iter(sorted(rng.sample(range(100_000, 1_000_000), CUSTOMERS * SHIPMENTS_EACH[1])))
    for customer in customers:
        count = rng.randint(*SHIPMENTS_EACH)
        statuses = [*dict.fromkeys(STATUSES), *(rng.choice(STATUSES) for _ in range(count - len(set(STATUSES))))]
        for status in statuses:
            origin, destination = rng.sample(sorted(PORTS), 2)
            late = status in ("in_transit", "customs_hold", "booked")
            eta = TODAY + timedelta(days=rng.randint(1, 40) if late else -rng.randint(1, 90))
            yield Shipment(
                f"MF-{next(numbers)}",
                customer.customer_id,
                origin,
                destination,
                status,
                rng.randint(40, 24_000),
                rng.choice(GOODS),
                eta,
                f"ref {rng.getrandbits(32):08x}",
            )


def _events(rng: random.Random, shipments: Iterable[Shipment]) -> Iterator[ShipmentEvent]:
    travelled: set[str] = set()  # customers whose first delivered shipment we have met
    for shipment in shipments:
        first = shipment.status == "delivered" and shipment.customer_id not in travelled
        if first:
            travelled.add(shipment.customer_id)
        long = first and len(travelled) <= WITH_LONG_HISTORY
        count = LONG_HISTORY if long else rng.randint(*EVENTS_EACH)
        at = datetime.combine(shipment.eta, datetime.min.time(), UTC) - timedelta(days=60)
        for number in range(count):
            at += timedelta(minutes=rng.randint(20, 60) if long else rng.randint(600, 5_000))
            kind = "departed" if number == 0 else rng.choice(("scanned", "arrived", "departed"))
            place = rng.choice((shipment.origin, shipment.destination))
            yield ShipmentEvent(shipment.shipment_id, at, kind, place, f"gate {rng.randint(1, 99)}")
        if shipment.status == "customs_hold":
            reason = rng.choice(("certificate of origin missing", "value in doubt", "X-ray ordered"))
            yield ShipmentEvent(shipment.shipment_id, at + timedelta(hours=5), "held", shipment.destination, reason)


def _invoices(rng: random.Random, customers: Iterable[Customer], shipments: tuple[Shipment, ...]) -> Iterator[Invoice]:
    currency = {customer.customer_id: customer.currency for customer in customers}
    numbers = iter(sorted(rng.sample(range(10_000, 100_000), len(shipments))))
    turn: dict[str, int] = {}
    for shipment in shipments:
        if shipment.status == "cancelled":
            continue
        # Each customer has every status: a check must find one of each.
        position = turn[shipment.customer_id] = turn.get(shipment.customer_id, -1) + 1
        status = ("open", "paid", "disputed", "open")[position % 4]
        due = TODAY + timedelta(days=rng.randint(-30, 30))
        yield Invoice(
            f"INV-{next(numbers)}",
            shipment.shipment_id,
            shipment.customer_id,
            rng.randint(5_000, 900_000),
            currency[shipment.customer_id],
            status,
            due,
        )


def _user_id(rng: random.Random) -> str:
    return f"u-{rng.getrandbits(32):08x}"


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_PEOPLE)} {rng.choice(_FAMILY)}"


def _insert(table: str, rows: tuple[Any, ...]) -> str:
    columns = [item.name for item in fields(rows[0])]
    values = ",\n".join(f"({', '.join(_literal(getattr(row, column)) for column in columns)})" for row in rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES\n{values};"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
