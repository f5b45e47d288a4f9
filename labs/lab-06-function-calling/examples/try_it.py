"""Says something to your running endpoint, decides what it asks for, and shows what came back.

It needs an endpoint that is up, with a database and a model behind it: yours, `grader up lab-06`, or a provider's.

    python labs/lab-06-function-calling/examples/try_it.py --user u-7f3a91 "Which shipments are booked?"

It judges nothing. `grader check lab-06` brings its own model and looks at the rows.
"""

from __future__ import annotations

import argparse
import json
import secrets
import urllib.error
import urllib.request
from typing import Any


def send(url: str, method: str, path: str, user: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """One request; the status and the JSON body."""
    request = urllib.request.Request(
        url.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-User": user},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def stream(url: str, user: str, body: dict[str, Any]) -> None:
    """Print the events of one streamed answer as they arrive."""
    request = urllib.request.Request(
        url.rstrip("/") + "/chat",
        data=json.dumps({**body, "stream": True}).encode(),
        headers={"Content-Type": "application/json", "X-User": user},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        for line in reply:
            print(line.decode().rstrip(), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", nargs="+", help="what the user says, one run after another")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where your endpoint listens")
    parser.add_argument("--user", required=True, help="a user_id of the table users")
    parser.add_argument("--approve", action="store_true", help="say yes to what it asks for; without it, no")
    parser.add_argument("--stream", action="store_true", help="print events as they arrive")
    arguments = parser.parse_args()

    conversation, status = f"try-{secrets.token_hex(4)}", 200
    for number, message in enumerate(arguments.messages, start=1):
        body = {"conversation": conversation, "message_id": f"m-{number}", "message": message}
        if arguments.stream:
            stream(arguments.url, arguments.user, body)
            continue
        status, answer = send(arguments.url, "POST", "/chat", arguments.user, body)
        print(status, json.dumps(answer, indent=2, ensure_ascii=False))
        while status == 200 and answer["status"] == "awaiting_approval":
            asked = answer["approvals"][0]
            decision = {
                "decision": "approve" if arguments.approve else "deny",
                "arguments_hash": asked["arguments_hash"],
            }
            status, answer = send(arguments.url, "POST", f"/approvals/{asked['approval_id']}", arguments.user, decision)
            print(decision["decision"], status, json.dumps(answer, indent=2, ensure_ascii=False))
    return 0 if status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main())
