"""The labs' shared world: Meridian Freight's orders database, generated afresh for every run."""

from grader.checking.freight.world import (
    SCHEMA,
    TODAY,
    Customer,
    Invoice,
    Shipment,
    ShipmentEvent,
    User,
    World,
    make_world,
)

__all__ = ["SCHEMA", "TODAY", "Customer", "Invoice", "Shipment", "ShipmentEvent", "User", "World", "make_world"]
