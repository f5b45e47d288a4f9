"""Arguments and results of the tools: the schemas that clients see are made from these classes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Status = Literal["booked", "in_transit", "customs_hold", "delivered", "cancelled"]
InvoiceStatus = Literal["open", "paid", "disputed"]


def _no_nul(value: str) -> str:
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds characters that no text has")
    return value


def _real_day(value: str) -> str:
    date.fromisoformat(value)
    return value


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Id = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_no_nul)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD"), AfterValidator(_real_day)]
Cursor = Annotated[str | None, Field(default=None, description="next_cursor of the page before")]


class Arguments(BaseModel):
    """Strict: `"20"` is no integer, and an argument that we do not know is an error."""

    model_config = ConfigDict(strict=True, extra="forbid")


class SearchShipments(Arguments):
    """Find shipments by status, port and day of arrival. Use it first; ask for details of single ones afterwards."""

    status: Status | list[Status] | None = None
    port: Annotated[Text | None, Field(default=None, description="A port's code or name, as origin or destination")]
    eta_from: Day | None = None
    eta_to: Day | None = None
    detail: Literal["concise", "detailed"] = "concise"
    limit: int = Field(default=20, ge=1, le=100)
    cursor: Cursor


class GetShipment(Arguments):
    """Everything about one shipment: goods, last event and invoices."""

    shipment_id: Id


class GetHistory(Arguments):
    """What happened to a shipment, the latest first. For the last event alone orders_get_shipment is enough."""

    shipment_id: Id
    kind: Annotated[Text | None, Field(default=None, description="departed, arrived, scanned, held, …")]
    limit: int = Field(default=50, ge=1, le=200)
    cursor: Cursor


class ListInvoices(Arguments):
    """Invoices, with sums by currency over all that match: for a total, ask with limit 1 and read `sums`."""

    status: InvoiceStatus | None = None
    overdue_on: Day | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: Cursor


class CreateReport(Arguments):
    """Make a snapshot of shipments that stays as it is, to be read in pages."""

    status: Status | list[Status] | None = None


class ReadReport(Arguments):
    """Read a snapshot made by orders_create_report."""

    report: Text
    limit: int = Field(default=100, ge=1, le=500)
    cursor: Cursor


class BookPickup(Arguments):
    """Book a truck for a shipment that is still booked. The user is asked to confirm before anything happens."""

    shipment_id: Id
    date: Day
    window: Literal["morning", "afternoon"]


class Result(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Shipment(Result):
    shipment_id: str
    status: Status
    origin: str
    destination: str
    eta: str


class DetailedShipment(Shipment):
    customer: str
    weight_kg: int
    goods: str
    note: str


class Event(Result):
    at: str
    kind: str
    place: str
    remark: str


class ShortInvoice(Result):
    invoice_id: str
    amount: str
    currency: str
    status: InvoiceStatus


class Invoice(ShortInvoice):
    shipment_id: str
    due: str


class Sum(Result):
    currency: str
    amount: str


class Page(Result):
    total: int
    next_cursor: str | None


class ShipmentPage(Page):
    shipments: list[DetailedShipment | Shipment]


class WholeShipment(DetailedShipment):
    last_event: Event | None
    invoices: list[ShortInvoice]


class EventPage(Page):
    events: list[Event]


class InvoicePage(Page):
    invoices: list[Invoice]
    sums: list[Sum]


class Report(Result):
    report: str
    rows: int


class ReportPage(Page):
    shipments: list[Shipment]


class Pickup(Result):
    pickup_id: int
    shipment_id: str
    date: str
    window: str


def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """The class as JSON schema, always the same bytes."""
    return kind.model_json_schema()
