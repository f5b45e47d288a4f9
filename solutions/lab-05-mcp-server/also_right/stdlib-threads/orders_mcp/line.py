"""Standard streams: one thread reads, one a request answers, one lock keeps lines whole."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from orders_mcp.rpc import Protocol, RpcError, parse, read
from orders_mcp.store import Cancelled, Job


def serve(protocol: Protocol, user_id: str) -> None:
    wire = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whoever prints, prints to standard error
    writing = threading.Lock()
    jobs: dict[Any, Job] = {}

    def say(message: dict[str, Any]) -> None:
        with writing:
            wire.write(json.dumps(message).encode() + b"\n")

    def work(message: dict[str, Any], job: Job) -> None:
        try:
            answer = protocol.answer(message, job)
            if not job.cancelled:
                say(answer)
        except Cancelled:
            pass
        finally:
            jobs.pop(message["id"], None)

    for line in sys.stdin.buffer:
        number = None
        if not line.strip():
            continue
        try:
            message = parse(line)
            if not isinstance(message, dict) or "method" not in message:
                continue
            if "id" not in message:
                params = message.get("params")
                if message["method"] == "notifications/cancelled" and isinstance(params, dict):
                    if job := jobs.get(params.get("requestId")):
                        threading.Thread(target=job.cancel).start()
                continue
            number = message["id"]
            request = read(message)
            jobs[request["id"]] = job = Job(user_id)
            threading.Thread(target=work, args=(request, job), daemon=True).start()
        except RpcError as error:
            say({"jsonrpc": "2.0", "id": number, "error": error.error})
    for job in list(jobs.values()):
        job.cancel()
    deadline = time.monotonic() + 2
    while jobs and time.monotonic() < deadline:
        time.sleep(0.02)
    os._exit(0)
