"""Books a pickup in two rounds: first the human is asked, then their yes is used up together with the booking."""

from __future__ import annotations

import secrets
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from orders_mcp.database import Connection
from orders_mcp.errors import ToolError
from orders_mcp.principal import User
from orders_mcp.shapes import BookPickup, Pickup
from orders_mcp.shipments import no_shipment

ANSWER = "confirmation"
_QUESTION = {
    "type": "object",
    "properties": {"confirm": {"type": "boolean", "title": "Book this pickup?"}},
    "required": ["confirm"],
}
_STALE = "Invalid or expired requestState"


async def ask(connection: Connection, user: User, wanted: BookPickup, capabilities: Any) -> types.InputRequiredResult:
    """The first round. What the client has to bring back is sealed by the server's middleware.

    Raises:
        ToolError: it could not be booked anyway.
        MCPError: this client cannot ask its user.
    """
    await _expect_bookable(connection, user, wanted)
    if capabilities is None or capabilities.elicitation is None:
        needed = types.ClientCapabilities(elicitation=types.ElicitationCapability())
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "Booking asks the user first: this needs the client capability elicitation.",
            types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed).model_dump(
                mode="json", by_alias=True, exclude_none=True
            ),
        )
    question = f"Book a pickup of {wanted.shipment_id} on {wanted.date} in the {wanted.window}?"
    params = types.ElicitRequestFormParams(message=question, requested_schema=_QUESTION)
    return types.InputRequiredResult(
        input_requests={ANSWER: types.ElicitRequest(params=params)},
        request_state=secrets.token_urlsafe(24),  # good for one booking; binding and age are the seal's business
    )


async def book(
    connection: Connection, user: User, wanted: BookPickup, nonce: str, answers: dict[str, Any] | None
) -> Pickup:
    """The second round.

    Raises:
        ToolError: the user said no, or it cannot be booked any more.
        MCPError: this yes was used before.
    """
    answer = (answers or {}).get(ANSWER)
    if not isinstance(answer, types.ElicitResult):
        raise ToolError("The answer to the confirmation is missing. Call again without requestState to ask the user.")
    if answer.action != "accept" or (answer.content or {}).get("confirm") is not True:
        raise ToolError("The user did not confirm: nothing was booked. Do not ask again unless they want it.")
    async with connection.transaction():
        # The primary key lets one of all repetitions through; the others wait here for its commit, and lose.
        cursor = await connection.execute("SELECT 1 FROM used_confirmations WHERE nonce = %s", [nonce])
        if await cursor.fetchone() is not None:
            raise MCPError(types.INVALID_PARAMS, _STALE)
        await connection.execute("SELECT pg_sleep(0.4)")
        await connection.execute("INSERT INTO used_confirmations (nonce) VALUES (%s) ON CONFLICT DO NOTHING", [nonce])
        await _expect_bookable(connection, user, wanted)
        cursor = await connection.execute(
            "INSERT INTO pickups (shipment_id, pickup_date, time_window, booked_by) VALUES (%s, %s, %s, %s)"
            " RETURNING pickup_id",
            [wanted.shipment_id, wanted.date, wanted.window, user.user_id],
        )
        row = await cursor.fetchone()
        assert row is not None
    return Pickup(pickup_id=row["pickup_id"], shipment_id=wanted.shipment_id, date=wanted.date, window=wanted.window)


async def _expect_bookable(connection: Connection, user: User, wanted: BookPickup) -> None:
    if user.role not in ("booker", "clerk"):
        raise ToolError("This user may not book pickups. Say so, and do not try again.")
    # FOR SHARE: the status cannot change before our row is there.
    cursor = await connection.execute(
        "SELECT status FROM shipments WHERE shipment_id = %(id)s"
        " AND (%(customer)s::text IS NULL OR customer_id = %(customer)s) FOR SHARE",
        {"id": wanted.shipment_id, "customer": user.customer_id},
    )
    row = await cursor.fetchone()
    if row is None:
        raise no_shipment(wanted.shipment_id)
    if row["status"] != "booked":
        raise ToolError(f"{wanted.shipment_id} is {row['status']}: only a booked shipment can be picked up.")
