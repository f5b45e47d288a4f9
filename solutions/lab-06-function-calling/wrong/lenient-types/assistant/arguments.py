"""The six tools as the model sees them, and the strict reading of what it fills in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from assistant.errors import ToolError


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold NUL characters")
    return value


def _real_day(value: str) -> str:
    date.fromisoformat(value)
    return value


Id = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_without_nul)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="A day, YYYY-MM-DD."), AfterValidator(_real_day)]


# Pydantic does not check defaults: a status may be left out, but not be null.
LEFT_OUT: Any = None


class Arguments(BaseModel):
    """Strict: `"20"` is no integer, and a field that nobody asked for is an error, not a whim."""

    model_config = ConfigDict(extra="forbid")


class FindShipments(Arguments):
    """Lists shipments, by their id. Narrow it down by status."""

    status: Literal["booked", "in_transit", "customs_hold", "delivered", "cancelled"] = LEFT_OUT
    limit: int = Field(default=20, ge=1, le=50)


class GetShipment(Arguments):
    """Gives one shipment."""

    shipment_id: Id


class GetEvents(Arguments):
    """Gives what happened to a shipment, oldest first. A long history is cut off at its end."""

    shipment_id: Id


class ListInvoices(Arguments):
    """Lists invoices, by their id. Amounts are in cents of the invoice's currency."""

    status: Literal["open", "paid", "disputed"] = LEFT_OUT


class BookPickup(Arguments):
    """Books a truck that picks up a shipment which is still `booked`. This really happens: call it once."""

    shipment_id: Id
    date: Day
    window: Literal["morning", "afternoon"]


class IssueCredit(Arguments):
    """Credits a part or all of an invoice, in cents of its currency. A human is asked first."""

    invoice_id: Id
    amount_cents: int = Field(ge=1, le=2**53)
    reason: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_without_nul)]


TOOLS: Mapping[str, type[Arguments]] = MappingProxyType(
    {
        "find_shipments": FindShipments,
        "get_shipment": GetShipment,
        "get_events": GetEvents,
        "list_invoices": ListInvoices,
        "book_pickup": BookPickup,
        "issue_credit": IssueCredit,
    }
)
READS = frozenset({"find_shipments", "get_shipment", "get_events", "list_invoices"})
NEEDS_APPROVAL = frozenset({"issue_credit"})
ALLOWED: Mapping[str, frozenset[str]] = MappingProxyType(
    {"viewer": READS, "booker": READS | {"book_pickup"}, "clerk": frozenset(TOOLS)}
)


def read_arguments(name: str, text: str, role: str) -> Arguments:
    """What the model wants, checked; nothing has happened yet.

    Raises:
        ToolError: no such tool, not for this role, or arguments that do not fit.
    """
    if name not in TOOLS:
        raise ToolError("unknown_tool", f"There is no tool {name[:80]!r}. There are: {', '.join(TOOLS)}.")
    if name not in ALLOWED.get(role, frozenset()):
        raise ToolError("forbidden", f"The user may not use {name}. Say so, and do not try again.")
    try:
        return TOOLS[name].model_validate(json_object(text))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()[:6])
        raise ToolError("invalid_arguments", f"Mend the arguments and call again: {wrong}.") from error


def json_object(text: str) -> Any:
    """The arguments as JSON.

    Raises:
        ToolError: they are none.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise ToolError("invalid_arguments", "The arguments are not JSON: send one complete object.") from error
    return value


def schemas() -> list[tuple[str, str, dict[str, Any]]]:
    """Name, description and JSON schema of every tool, always in this order and with the same bytes."""
    return [(name, (kind.__doc__ or "").strip(), _schema(kind)) for name, kind in TOOLS.items()]


def _schema(kind: type[Arguments]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    properties = {
        name: {key: value for key, value in field.items() if key != "title" and value is not None}
        for name, field in schema["properties"].items()
    }
    kept = {key: schema[key] for key in ("type", "required", "additionalProperties") if key in schema}
    return {**kept, "properties": properties}
