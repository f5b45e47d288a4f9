"""Calls a tool of your running server by hand, and shows what went over the wire.

    python labs/lab-05-mcp-server/examples/try_it.py --user u-7f3a91                       (what it offers)
    python labs/lab-05-mcp-server/examples/try_it.py --user u-7f3a91 orders_search_shipments limit=2 status=booked
    python labs/lab-05-mcp-server/examples/try_it.py --user u-7f3a91 orders_book_pickup \\
        shipment_id=MF-204417 date=2026-11-12 window=morning

The token is made from TOKEN_KEY, TOKEN_ISSUER and TOKEN_AUDIENCE of your environment: start this in the shell that
started the server. When the server asks for a confirmation, you are asked here.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

import httpx2
import jwt

VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    "io.modelcontextprotocol/clientInfo": {"name": "try_it", "version": "1"},
}


def token(user_id: str, scope: str) -> str:
    """An access token as the issuer of your environment would make it."""
    claims = {
        "iss": os.environ["TOKEN_ISSUER"],
        "aud": os.environ["TOKEN_AUDIENCE"],
        "sub": user_id,
        "scope": scope,
        "exp": int(time.time()) + 600,
    }
    return jwt.encode(claims, os.environ["TOKEN_KEY"], "HS256")


def ask(client: httpx2.Client, method: str, params: dict[str, Any]) -> Any:
    """One request, shown with its answer; its result, or None."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    headers = {"mcp-protocol-version": VERSION, "mcp-method": method}
    if "name" in params:
        headers["mcp-name"] = params["name"]
    print(f"→ {method} {json.dumps(params)}")
    reply = client.post("/mcp", json=message, headers=headers)
    print(f"← {reply.status_code} {reply.headers.get('www-authenticate', '')}".rstrip())
    text = reply.text
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        text = [line[5:] for line in text.splitlines() if line.startswith("data:")][-1]
    try:
        answer = json.loads(text)
    except ValueError:
        print(text)
        return None
    print(json.dumps(answer.get("error") or answer.get("result"), indent=2, ensure_ascii=False))
    return answer.get("result")


def argument(text: str) -> tuple[str, Any]:
    """`limit=2` → ("limit", 2); what is no JSON is a text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where your server listens")
    parser.add_argument("--user", required=True, help="a user_id of the table users")
    parser.add_argument("--scope", default="orders:read orders:book", help="scopes of the token")
    parser.add_argument("tool", nargs="?", help="a tool; without one: what the server offers")
    parser.add_argument("arguments", nargs="*", type=argument, metavar="NAME=VALUE")
    given = parser.parse_args()
    headers = {
        "authorization": f"Bearer {token(given.user, given.scope)}",
        "accept": "application/json, text/event-stream",
    }
    with httpx2.Client(base_url=given.url, headers=headers, timeout=30) as client:
        if given.tool is None:
            return 0 if ask(client, "server/discover", {}) and ask(client, "tools/list", {}) else 1
        params: dict[str, Any] = {"name": given.tool, "arguments": dict(given.arguments)}
        result = ask(client, "tools/call", params)
        if result and result.get("resultType") == "input_required":
            answers = {}
            for key, request in result["inputRequests"].items():
                yes = input(f"{request['params']['message']} [y/n] ").strip().lower() == "y"
                answers[key] = {"action": "accept", "content": {"confirm": True}} if yes else {"action": "decline"}
            params |= {"requestState": result["requestState"], "inputResponses": answers}
            result = ask(client, "tools/call", params)
    return 0 if result and not result.get("isError") else 1


if __name__ == "__main__":
    raise SystemExit(main())
