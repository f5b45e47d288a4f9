"""The server on the SDK's comfortable side: tools are functions; what the SDK leaves open is closed in middleware."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import anyio
import mcp_types as types
import psycopg
from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError
from pydantic import Field, ValidationError

from orders_mcp import audit, invoices, pickups, reports, shapes, shipments
from orders_mcp.database import Connection, Pool
from orders_mcp.errors import ToolError
from orders_mcp.principal import User, find_user
from orders_mcp.settings import Settings
from orders_mcp.shapes import Status

REVISION = "2026-07-28"
LISTS = CacheHint(ttl_ms=120_000, scope="public")
READS = types.ToolAnnotations(read_only_hint=True)
BOOKS = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False)
Statuses = Status | list[Status] | None
Cursor = Annotated[str, Field(description="next_cursor of the page before")]
Found = TypeVar("Found")
log = logging.getLogger(__name__)

# The SDK's functions take "20" for 20 and overlook what they do not know: these classes do not.
STRICT: dict[str, type[shapes.Arguments]] = {
    "orders_search_shipments": shapes.SearchShipments,
    "orders_get_shipment": shapes.GetShipment,
    "orders_get_history": shapes.GetHistory,
    "orders_list_invoices": shapes.ListInvoices,
    "orders_create_report": shapes.CreateReport,
    "orders_read_report": shapes.ReadReport,
    "orders_book_pickup": shapes.BookPickup,
}


def build_server(settings: Settings, pool: Pool) -> MCPServer[Any]:
    def who(request: Any) -> str:
        return request.scope["orders_user"] if request is not None else settings.user_id

    server: MCPServer[Any] = MCPServer(
        "orders",
        version="3",
        instructions="Look up, count and report shipments and invoices of Meridian Freight; book pickups with a yes.",
        cache_hints={
            "tools/list": LISTS,
            "resources/templates/list": LISTS,
            "resources/read": CacheHint(ttl_ms=0, scope="private"),
        },
        request_state_security=RequestStateSecurity(
            keys=[settings.state_key],
            ttl=settings.confirmation_seconds,
            bind_principal=lambda context: who(context.request),
        ),
    )

    async def audited(context: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        if context.method != "tools/call":
            return await call_next(context)
        outcome, name = "cancelled", str((context.params or {}).get("name"))
        try:
            result = await call_next(context)
            wire = result if isinstance(result, dict) else result.model_dump(by_alias=True)
            asks, failed = wire.get("resultType") == "input_required", wire.get("isError")
            outcome = "input_required" if asks else "error" if failed else "ok"
            return result
        except Exception:
            outcome = "error"
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await audit.write(pool, who(context.request), name, outcome, context.request_id)

    async def strict(context: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        if context.method == "tools/call":
            params = context.params or {}
            kind = STRICT.get(str(params.get("name")))
            if kind is None:
                raise MCPError(types.INVALID_PARAMS, "There is no such tool")
            try:
                kind.model_validate(params.get("arguments") or {})
            except ValidationError as error:
                faults = {f"{each['loc'][0] if each['loc'] else 'arguments'}: {each['msg']}" for each in error.errors()}
                text = f"Wrong arguments. {'. '.join(sorted(faults)[:4])}"
                return types.CallToolResult(content=[types.TextContent(text=text[:600])], is_error=True)
        return await call_next(context)

    server.middleware.insert(0, audited)
    server.middleware.append(strict)

    async def work(context: Context[Any, Any], job: Callable[[Connection, User], Awaitable[Found]]) -> Found:
        try:
            async with pool.connection() as connection:
                user = await find_user(connection, who(context.request_context.request))
                if user is None:
                    raise ToolError("This user is not known any more.")
                return await job(connection, user)
        except psycopg.Error as error:
            log.exception("a tool call failed")
            raise ToolError("The orders cannot be read at the moment. Try again in a minute.") from error

    key = settings.state_key

    @server.tool(annotations=READS)
    async def orders_search_shipments(
        context: Context[Any, Any],
        status: Statuses = None,
        port: Annotated[str | None, Field(description="Name or code, as origin or destination")] = None,
        eta_from: shapes.Day | None = None,
        eta_to: shapes.Day | None = None,
        detail: Literal["concise", "detailed"] = "concise",
        limit: Annotated[int, Field(ge=1, le=100)] = 20,
        cursor: Cursor | None = None,
    ) -> shapes.ShipmentPage:
        """Find shipments by status, port and day of arrival; `total` counts all that match."""
        wanted = shapes.SearchShipments(
            status=status, port=port, eta_from=eta_from, eta_to=eta_to, detail=detail, limit=limit, cursor=cursor
        )
        return await work(context, lambda connection, user: shipments.search(connection, user, wanted, key))

    @server.tool(annotations=READS)
    async def orders_get_shipment(context: Context[Any, Any], shipment_id: str) -> shapes.WholeShipment:
        """Everything about one shipment, its last event and invoices included."""
        return await work(context, lambda connection, user: shipments.get(connection, user, shipment_id))

    @server.tool(annotations=READS)
    async def orders_get_history(
        context: Context[Any, Any],
        shipment_id: str,
        kind: str | None = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
        cursor: Cursor | None = None,
    ) -> shapes.EventPage:
        """What happened to one shipment, the latest first."""
        wanted = shapes.GetHistory(shipment_id=shipment_id, kind=kind, limit=limit, cursor=cursor)
        return await work(context, lambda connection, user: shipments.history(connection, user, wanted, key))

    @server.tool(annotations=READS)
    async def orders_list_invoices(
        context: Context[Any, Any],
        status: shapes.InvoiceStatus | None = None,
        overdue_on: shapes.Day | None = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
        cursor: Cursor | None = None,
    ) -> shapes.InvoicePage:
        """Invoices, and sums by currency over all that match."""
        wanted = shapes.ListInvoices(status=status, overdue_on=overdue_on, limit=limit, cursor=cursor)
        return await work(context, lambda connection, user: invoices.listing(connection, user, wanted, key))

    @server.tool(annotations=READS)
    async def orders_create_report(context: Context[Any, Any], status: Statuses = None) -> shapes.Report:
        """Keep the matching shipments as they are now, for orders_read_report."""
        wanted = shapes.CreateReport(status=status)
        return await work(context, lambda connection, user: reports.create(connection, user, wanted))

    @server.tool(annotations=READS)
    async def orders_read_report(
        context: Context[Any, Any],
        report: str,
        limit: Annotated[int, Field(ge=1, le=500)] = 100,
        cursor: Cursor | None = None,
    ) -> shapes.ReportPage:
        """Read what orders_create_report kept."""
        wanted = shapes.ReadReport(report=report, limit=limit, cursor=cursor)
        return await work(context, lambda connection, user: reports.read(connection, user, wanted, key))

    @server.tool(annotations=BOOKS)
    async def orders_book_pickup(
        context: Context[Any, Any], shipment_id: str, date: shapes.Day, window: Literal["morning", "afternoon"]
    ) -> shapes.Pickup | types.InputRequiredResult:
        """Book a truck for a shipment that is booked; its user is asked to confirm first."""
        wanted = shapes.BookPickup(shipment_id=shipment_id, date=date, window=window)
        inner = context.request_context
        if inner.protocol_version != REVISION:
            raise ToolError(f"Booking needs revision {REVISION} of the protocol.")

        async def job(connection: Connection, user: User) -> shapes.Pickup | types.InputRequiredResult:
            if context.request_state is None:
                return await pickups.ask(connection, user, wanted, inner.session.client_capabilities)
            return await pickups.book(connection, user, wanted, context.request_state, context.input_responses)

        return await work(context, job)

    @server.resource("orders://shipments/{shipment_id}", mime_type="application/json")
    async def shipment(shipment_id: str, context: Context[Any, Any]) -> str:
        """One shipment."""
        try:
            whole = await work(context, lambda connection, user: shipments.get(connection, user, shipment_id))
        except ToolError as error:
            raise ResourceNotFoundError("No such resource") from error
        return whole.model_dump_json()

    return server
