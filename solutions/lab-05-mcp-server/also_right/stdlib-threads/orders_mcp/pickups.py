"""Bookings: the question that was asked is a row, and the row is what can be used once."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from orders_mcp.store import Job
from orders_mcp.tools import Wrong, no_shipment

if TYPE_CHECKING:
    from orders_mcp.rpc import Protocol

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def book(protocol: Protocol, job: Job, params: dict[str, Any]) -> dict[str, Any]:
    from orders_mcp.rpc import RpcError

    wanted: dict[str, str] = params["arguments"]
    question = json.dumps([job.user_id, wanted], sort_keys=True)
    state = params.get("requestState")
    with protocol.store.work(job) as connection:
        if state is not None:
            # FOR UPDATE: of many equal answers one gets here at a time.
            row = connection.execute(
                "SELECT * FROM questions WHERE state = %s AND question = %s AND NOT booked"
                " AND asked > now() - make_interval(secs => %s) FOR UPDATE",
                [str(state).replace("\0", "?"), question, protocol.confirmation_seconds],
            ).fetchone()
            if row is None:
                raise RpcError(-32602, "requestState is not good for this call")
        _expect_bookable(connection, job, wanted["shipment_id"])
        if state is None:
            if (
                not isinstance(params["_meta"][CAPABILITIES], dict)
                or "elicitation" not in params["_meta"][CAPABILITIES]
            ):
                raise RpcError(-32021, "The client cannot ask its user", {"requiredCapabilities": {"elicitation": {}}})
            state = secrets.token_urlsafe(24)
            connection.execute("INSERT INTO questions VALUES (%s, %s, now(), false)", [state, question])
            return {"resultType": "input_required", "requestState": state, "inputRequests": {"yes": _question(wanted)}}
        answers = params.get("inputResponses")
        answer = answers.get("yes") if isinstance(answers, dict) else None
        yes = (
            isinstance(answer, dict) and answer.get("action") == "accept" and answer.get("content") == {"confirm": True}
        )
        if not yes or answer["content"]["confirm"] is not True:  # type: ignore[index]
            raise Wrong("The user did not say yes, so nothing was booked.")
        connection.execute("UPDATE questions SET booked = true WHERE state = %s", [state])
        booked = connection.execute(
            "INSERT INTO pickups (shipment_id, pickup_date, time_window, booked_by) VALUES (%s, %s, %s, %s)"
            " RETURNING pickup_id",
            [wanted["shipment_id"], wanted["date"], wanted["window"], job.user_id],
        ).fetchone()
        assert booked is not None
        return {"pickup_id": booked["pickup_id"], **wanted}


def _question(wanted: dict[str, str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"confirm": {"type": "boolean"}}, "required": ["confirm"]}
    message = f"Shall {wanted['shipment_id']} be picked up on {wanted['date']}, {wanted['window']}?"
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def _expect_bookable(connection: Any, job: Job, shipment_id: str) -> None:
    row = connection.execute(
        "SELECT s.status, u.role FROM users u LEFT JOIN shipments s ON s.shipment_id = %s"
        " AND (u.customer_id IS NULL OR s.customer_id = u.customer_id) WHERE u.user_id = %s",
        [shipment_id, job.user_id],
    ).fetchone()
    if row is None or row["role"] not in ("booker", "clerk"):
        raise Wrong("This user may not book pickups. Tell them so.")
    if row["status"] is None:
        raise no_shipment(shipment_id)
    if row["status"] != "booked":
        raise Wrong(f"Shipment {shipment_id} is {row['status']}. Only one that is booked can be picked up.")
