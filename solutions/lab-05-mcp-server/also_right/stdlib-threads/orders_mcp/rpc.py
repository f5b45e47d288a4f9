"""The protocol: from a message to an answer, whoever carries it."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import psycopg

from orders_mcp import pickups, tools
from orders_mcp.store import Cancelled, Job, Store

VERSION = "2026-07-28"
META = "io.modelcontextprotocol/"
SERVER = {"name": "orders", "version": "2.0"}
INSTRUCTIONS = "Look up shipments, their history and invoices of Meridian Freight, make reports, and book pickups."
PUBLIC = {"ttlMs": 600_000, "cacheScope": "public"}
URI = "orders://shipments/"
log = logging.getLogger("orders")
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


class RpcError(Exception):
    """An error of the protocol."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **({} if data is None else {"data": data})}


class Protocol:
    """Answers one message at a time, in as many threads as there are messages."""

    def __init__(self, store: Store, confirmation_seconds: float) -> None:
        self.store = store
        self.confirmation_seconds = confirmation_seconds

    def answer(self, message: dict[str, Any], job: Job) -> dict[str, Any]:
        """The answer to a request that `read` has found to be one."""
        try:
            result = {
                "resultType": "complete",
                **self._carry_out(message["method"], message["params"], job, message["id"]),
            }
            return {"jsonrpc": "2.0", "id": message["id"], "result": result}
        except RpcError as error:
            return {"jsonrpc": "2.0", "id": message["id"], "error": error.error}
        except psycopg.Error:
            log.exception("the database failed")
            return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32603, "message": "Try again later"}}

    def _carry_out(self, method: str, params: dict[str, Any], job: Job, number: object) -> dict[str, Any]:
        match method:
            case "server/discover":
                capabilities = {"tools": {}, "resources": {}}
                about = {"instructions": INSTRUCTIONS, "serverInfo": SERVER, "capabilities": capabilities}
                return {"supportedVersions": [VERSION], **about, **PUBLIC}
            case "tools/list":
                return {"tools": tools.LIST, **PUBLIC}
            case "resources/list":
                return {"resources": [], **PUBLIC}
            case "resources/templates/list":
                template = {"name": "shipment", "uriTemplate": URI + "{shipment_id}", "mimeType": "application/json"}
                return {"resourceTemplates": [template], **PUBLIC}
            case "resources/read":
                return self._resource(params.get("uri"), job)
            case "tools/call":
                return self._call(params, job, number)
        raise RpcError(-32601, "Method not found")

    def _resource(self, uri: object, job: Job) -> dict[str, Any]:
        if not isinstance(uri, str) or not uri.startswith(URI):
            raise RpcError(-32602, "Resource not found", {"uri": uri})
        try:
            found = tools.run(self.store, job, "orders_get_shipment", {"shipment_id": uri.removeprefix(URI)})
        except tools.Wrong as wrong:
            raise RpcError(-32602, "Resource not found", {"uri": uri}) from wrong
        content = {"uri": uri, "mimeType": "application/json", "text": json.dumps(found)}
        return {"contents": [content], "ttlMs": 0, "cacheScope": "private"}

    def _call(self, params: dict[str, Any], job: Job, number: object) -> dict[str, Any]:
        name, outcome = params.get("name"), "error"
        try:
            if name not in tools.NAMES:
                raise RpcError(-32602, "Unknown tool")
            result = self._tool(str(name), params, job)
            outcome = "input_required" if "requestState" in result else "error" if result["isError"] else "ok"
            return result
        except Cancelled:
            outcome = "cancelled"
            raise
        finally:
            self.store.audit(job.user_id, str(name), outcome, number)

    def _tool(self, name: str, params: dict[str, Any], job: Job) -> dict[str, Any]:
        try:
            arguments = params.get("arguments")
            if name == "orders_book_pickup":
                tools.expect_fit(name, arguments or {})
                found = pickups.book(self, job, params)
            else:
                found = tools.run(self.store, job, name, {} if arguments is None else arguments)
        except tools.Wrong as wrong:
            return {"content": [{"type": "text", "text": str(wrong)[:600]}], "isError": True}
        if "requestState" in found:
            return found
        return {
            "content": [{"type": "text", "text": json.dumps(found, ensure_ascii=False)}],
            "structuredContent": found,
            "isError": False,
        }


def parse(text: bytes) -> Any:
    """JSON of any kind.

    Raises:
        RpcError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RpcError(-32700, "Parse error") from error


def read(message: Any) -> dict[str, Any]:
    """A request, as this revision wants it.

    Raises:
        RpcError: it is none, or of a revision that we do not speak.
    """
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise RpcError(-32600, "Not a request")
    if type(message.get("id")) not in (str, int):
        raise RpcError(-32600, "The id is no text and no number")
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(meta, dict) or not {META + "protocolVersion", META + "clientCapabilities"} <= meta.keys():
        raise RpcError(-32602, "_meta must name protocol version and capabilities")
    version = meta[META + "protocolVersion"]
    if version != VERSION:
        raise RpcError(-32022, "Unsupported protocol version", {"supported": [VERSION], "requested": version})
    return message
