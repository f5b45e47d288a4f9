"""The MCP server itself, the same on both transports: what it offers, and how a call becomes a result."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import anyio
import mcp_types as types
import psycopg
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ValidationError

from orders_mcp import audit, invoices, pickups, reports, shapes, shipments
from orders_mcp.database import Connection, Pool
from orders_mcp.errors import ToolError
from orders_mcp.principal import User, find_user
from orders_mcp.settings import Settings

NAME = "meridian-orders"
INSTRUCTIONS = (
    "Shipments and invoices of Meridian Freight, for the user who is signed in. Search concisely, then look at single "
    "shipments. Sums of invoices are in `sums`: do not add up pages. Booking a pickup asks the user to confirm."
)
TEMPLATE = "orders://shipments/{shipment_id}"
PREFIX = "orders://shipments/"
REVISION = "2026-07-28"
PUBLIC = CacheHint(ttl_ms=300_000, scope="public")

log = logging.getLogger(__name__)


def _loose(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _loose(value) for key, value in schema.items() if key not in ("enum", "maximum", "minimum")}
    return schema


@dataclass(frozen=True)
class Offer:
    """One tool: what goes in, what comes out."""

    arguments: type[shapes.Arguments]
    result: type[BaseModel]

    def as_tool(self, name: str) -> types.Tool:
        books = self.arguments is shapes.BookPickup
        hints = types.ToolAnnotations(
            read_only_hint=not books,
            destructive_hint=False if books else None,
            idempotent_hint=False if books else None,
        )
        return types.Tool(
            name=name,
            description=" ".join((self.arguments.__doc__ or "").split()),
            input_schema=_loose(shapes.schema_of(self.arguments)),
            output_schema=shapes.schema_of(self.result),
            annotations=hints,
        )


OFFERS = {
    "orders_search_shipments": Offer(shapes.SearchShipments, shapes.ShipmentPage),
    "orders_get_shipment": Offer(shapes.GetShipment, shapes.WholeShipment),
    "orders_get_history": Offer(shapes.GetHistory, shapes.EventPage),
    "orders_list_invoices": Offer(shapes.ListInvoices, shapes.InvoicePage),
    "orders_create_report": Offer(shapes.CreateReport, shapes.Report),
    "orders_read_report": Offer(shapes.ReadReport, shapes.ReportPage),
    "orders_book_pickup": Offer(shapes.BookPickup, shapes.Pickup),
}
TOOLS = [offer.as_tool(name) for name, offer in OFFERS.items()]


def user_id_of(settings: Settings, context: ServerRequestContext[Any, Any]) -> str:
    """Who asks: the token of this very request, or the user of the standard streams."""
    request = context.request
    return request.scope["orders_user"] if request is not None else settings.user_id


def build_server(settings: Settings, pool: Pool) -> Server[Any]:
    """The low-level server: it lets us say exactly what a client is answered."""
    desk = Desk(settings, pool)
    server: Server[Any] = Server(
        NAME,
        version="1.0.0",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": PUBLIC, "resources/templates/list": PUBLIC, "server/discover": PUBLIC},
        on_list_tools=desk.list_tools,
        on_call_tool=desk.call_tool,
        on_list_resources=desk.list_resources,
        on_list_resource_templates=desk.list_templates,
        on_read_resource=desk.read_resource,
    )
    security = RequestStateSecurity(
        keys=[settings.state_key],
        ttl=settings.confirmation_seconds,
        bind_principal=lambda context: user_id_of(settings, context),
    )
    # The audit is the outer one: a requestState that is turned away leaves its line too.
    server.middleware += [desk.audited, RequestStateBoundary(security, default_audience=NAME)]
    return server


@dataclass(frozen=True)
class Desk:
    """Answers requests. It keeps nothing between two of them: any replica can take the next one."""

    settings: Settings
    pool: Pool

    async def list_tools(self, _: ServerRequestContext[Any, Any], params: Any) -> types.ListToolsResult:
        _expect_no_cursor(params)
        return types.ListToolsResult(tools=TOOLS)

    async def list_resources(self, _: ServerRequestContext[Any, Any], params: Any) -> types.ListResourcesResult:
        _expect_no_cursor(params)
        return types.ListResourcesResult(resources=[])  # shipments are reached by the template

    async def list_templates(self, _: ServerRequestContext[Any, Any], params: Any) -> types.ListResourceTemplatesResult:
        _expect_no_cursor(params)
        template = types.ResourceTemplate(
            name="shipment", uri_template=TEMPLATE, mime_type="application/json", description="One shipment."
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(
        self, context: ServerRequestContext[Any, Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            if not params.uri.startswith(PREFIX):
                raise ToolError("no such resource")
            wanted = shapes.GetShipment(shipment_id=params.uri.removeprefix(PREFIX))
            async with self.pool.connection() as connection:
                whole = await shipments.get(connection, await self._user(connection, context), wanted.shipment_id)
        except (ToolError, ValidationError) as error:
            raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": params.uri}) from error
        text = types.TextResourceContents(uri=params.uri, mime_type="application/json", text=whole.model_dump_json())
        return types.ReadResourceResult(contents=[text], ttl_ms=0, cache_scope="private")

    async def call_tool(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """One call; what goes wrong inside of it is told to the model."""
        try:
            return await self._call(context, params)
        except ToolError as error:
            return _tool_error(str(error))
        except psycopg.Error:
            log.exception("a tool call failed")
            return _tool_error("The order database does not answer at the moment. Try again in a minute.")

    async def audited(self, context: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Around every request: a call of a tool leaves its line in the audit log, whatever becomes of it."""
        if context.method != "tools/call":
            return await call_next(context)
        outcome = "cancelled"
        try:
            result = await call_next(context)
            outcome = _outcome(result)
            return result
        except Exception:
            outcome = "error"
            raise
        finally:
            # A call that was cancelled still gets its line.
            with anyio.CancelScope(shield=True):
                user_id, tool = user_id_of(self.settings, context), str((context.params or {}).get("name"))
                await audit.write(self.pool, user_id, tool, outcome, context.request_id)

    async def _call(
        self, context: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        offer = OFFERS.get(params.name)
        if offer is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
        arguments = _read(offer.arguments, params.arguments)
        # When the client goes away this task is cancelled, and psycopg cancels the statement in the database.
        async with self.pool.connection() as connection:
            user = await self._user(connection, context)
            found = await self._carry_out(connection, user, arguments, context, params)
        if isinstance(found, types.InputRequiredResult):
            return found
        text = found.model_dump_json()
        content = [types.TextContent(text=text)]
        return types.CallToolResult(content=content, structured_content=json.loads(text))

    async def _carry_out(
        self,
        connection: Connection,
        user: User,
        arguments: shapes.Arguments,
        context: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
    ) -> BaseModel:
        key = self.settings.state_key
        match arguments:
            case shapes.SearchShipments():
                return await shipments.search(connection, user, arguments, key)
            case shapes.GetShipment():
                return await shipments.get(connection, user, arguments.shipment_id)
            case shapes.GetHistory():
                return await shipments.history(connection, user, arguments, key)
            case shapes.ListInvoices():
                return await invoices.listing(connection, user, arguments, key)
            case shapes.CreateReport():
                return await reports.create(connection, user, arguments)
            case shapes.ReadReport():
                return await reports.read(connection, user, arguments, key)
            case shapes.BookPickup() if context.protocol_version != REVISION:
                raise ToolError(f"Booking asks the user first, which needs revision {REVISION} of the protocol.")
            case shapes.BookPickup() if params.request_state is None:
                return await pickups.ask(connection, user, arguments, _capabilities(context))
            case shapes.BookPickup():
                return await pickups.book(connection, user, arguments, params.request_state, params.input_responses)
        raise TypeError(type(arguments).__name__)

    async def _user(self, connection: Connection, context: ServerRequestContext[Any, Any]) -> User:
        user = await find_user(connection, user_id_of(self.settings, context))
        if user is None:
            raise ToolError("This user is not known any more.")
        return user


def _tool_error(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=sentence)], is_error=True)


def _outcome(result: Any) -> str:
    """What became of a call, by the result as it goes out."""
    wire = result if isinstance(result, dict) else result.model_dump(by_alias=True)
    if wire.get("resultType") == "input_required":
        return "input_required"
    return "error" if wire.get("isError") else "ok"


def _read(kind: type[shapes.Arguments], arguments: dict[str, Any] | None) -> shapes.Arguments:
    try:
        return kind.model_validate(arguments or {})
    except ValidationError as error:
        wrong = dict.fromkeys(f"{'.'.join(map(str, e['loc'][:1])) or 'arguments'}: {e['msg']}" for e in error.errors())
        raise ToolError(f"Mend the arguments and call again. {'; '.join(list(wrong)[:5])}.") from error


def _expect_no_cursor(params: Any) -> None:
    """All of our lists fit one page: a cursor is none that we gave out."""
    if params is not None and params.cursor is not None:
        raise MCPError(types.INVALID_PARAMS, "Invalid cursor")


def _capabilities(context: ServerRequestContext[Any, Any]) -> types.ClientCapabilities | None:
    return context.session.client_capabilities
