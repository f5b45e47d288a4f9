"""The labs' shared world: the same for a seed, other facts for another, and a database that holds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.checking.freight import SCHEMA, World, make_world
from grader.services.postgres import Database, QueryRefusedError, Template, lease

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7)


@pytest.fixture(scope="module")
def database(world: World) -> Iterator[Database]:
    with lease("tests of freight") as server:
        yield server.create(Template(world.sql()))


def test_a_seed_gives_one_world(world: World) -> None:
    assert make_world(7) == world
    assert make_world(8).customers != world.customers


def test_every_customer_has_every_kind_of_row(world: World) -> None:
    for customer in world.customers:
        assert world.user("viewer", customer) != world.user("booker", customer)
        for status in ("booked", "in_transit", "customs_hold", "delivered", "cancelled"):
            assert world.shipments_of(customer, status)
        for status in ("open", "paid", "disputed"):
            assert world.invoices_of(customer, status)
    assert world.user("clerk").customer_id is None


def test_three_histories_are_too_long_for_a_prompt(world: World) -> None:
    for customer in world.customers[:3]:
        assert len(world.events_of(world.long_history(customer))) >= 900


@pytest.mark.parametrize("path", sorted((ROOT / "labs").glob("lab-0[56]-*/examples/schema.sql")), ids=str)
def test_the_schema_that_a_learner_reads_is_the_one_in_use(path: Path) -> None:
    assert path.read_text("utf-8") == SCHEMA


def test_the_database_holds_the_world(world: World, database: Database) -> None:
    for table in ("ports", "customers", "users", "shipments", "shipment_events", "invoices"):
        (row,) = database.rows(f"SELECT count(*) AS n FROM public.{table}")
        assert row["n"] == len(getattr(world, table)), table
    assert database.rows("SELECT * FROM public.pickups") == []
    shipment = world.shipments[0]
    (row,) = database.rows("SELECT * FROM public.shipments WHERE shipment_id = %s", [shipment.shipment_id])
    assert row["eta"] == shipment.eta


def test_another_service_changes_a_row(world: World, database: Database) -> None:
    change = "UPDATE public.shipments SET goods = 'flowers' WHERE shipment_id = %s"
    assert database.change(change, [world.shipments[0].shipment_id]) == 1
    assert len(database.rows("SELECT 1 FROM public.shipments WHERE goods = 'flowers'")) == 1
    with pytest.raises(QueryRefusedError):
        database.change("DELETE FROM public.nowhere")


def test_a_lock_says_who_waits_for_it(database: Database) -> None:
    import psycopg

    def look() -> None:
        with psycopg.connect(database.url) as connection:
            connection.execute("SELECT count(*) FROM shipments")

    program = threading.Thread(target=look)
    with database.locked("public.shipments", "public.invoices") as lock:
        program.start()
        assert lock.waited_for(1)
        assert not lock.waited_for(2, seconds=0)
        assert not lock.given_up(seconds=0)
    program.join()
    assert lock.given_up(seconds=0)
