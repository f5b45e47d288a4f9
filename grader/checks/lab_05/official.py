"""Visits the learner's server with the SDK's own client, as a user's program would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from grader.checking import Mismatch, Program


@dataclass
class Visit:
    """What the client saw."""

    version: str = ""
    tools: list[str] = field(default_factory=list)
    shipments: list[Any] = field(default_factory=list)
    resource: Any = None
    question: str = ""
    booking: Any = None
    booking_failed: bool = True


def visit(program: Program, token: str, shipment_id: str, day: str) -> Visit:
    """List, search page by page, read a resource, book a pickup in the afternoon and say yes.

    Raises:
        Mismatch: the client gave up.
    """
    import anyio  # noqa: PLC0415 - only this check needs the client, and loading it takes half a second

    seen = Visit()
    try:
        anyio.run(_visit, program.port, token, shipment_id, day, seen)
    except BaseException as error:
        if not isinstance(error, Exception) or isinstance(error, Mismatch):
            raise
        raise Mismatch("the official client gave up", expected="a whole visit", observed=_reason(error)) from error
    return seen


async def _visit(port: int, token: str, shipment_id: str, day: str, seen: Visit) -> None:
    import httpx2  # noqa: PLC0415 - as above
    import mcp_types as types  # noqa: PLC0415
    from mcp.client import Client  # noqa: PLC0415
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    async def ask(_context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        seen.question = params.message
        return types.ElicitResult(action="accept", content={"confirm": True})

    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=7) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http)
        async with Client(transport, elicitation_callback=cast("Any", ask)) as client:
            seen.version = client.protocol_version
            seen.tools = [tool.name for tool in (await client.list_tools()).tools]
            cursor = None
            while True:
                arguments = {"limit": 7, **({"cursor": cursor} if cursor else {})}
                page: Mapping[str, Any] = (
                    await client.call_tool("orders_search_shipments", arguments)
                ).structured_content or {}
                seen.shipments += page.get("shipments", [])
                cursor = page.get("next_cursor")
                if cursor is None or len(seen.shipments) > 1000:
                    break
            read = await client.read_resource(f"orders://shipments/{shipment_id}")
            seen.resource = json.loads(getattr(read.contents[0], "text", "null"))
            booking = {"shipment_id": shipment_id, "date": day, "window": "afternoon"}
            booked = await client.call_tool("orders_book_pickup", booking)
            seen.booking, seen.booking_failed = booked.structured_content, bool(booked.is_error)


def _reason(error: BaseException) -> str:
    """The innermost of a group of errors."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
