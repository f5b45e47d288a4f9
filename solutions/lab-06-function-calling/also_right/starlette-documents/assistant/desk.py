"""Works on conversations, one run at a time in each."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from assistant import store, toolbox
from assistant.models import next_turn
from assistant.store import Document

OnEvent = Callable[[str, Any], None] | None
NOT_RUN = toolbox.fault("not_run", "It was not done.")
DENIED = toolbox.fault("denied", "The user has said no.")
EXPIRED = toolbox.fault("expired", "Nobody has said yes in time.")


class No(Exception):
    """An answer of the API that is none of a run's."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word


def setting(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


class Work:
    """What is under way in one conversation."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False


_works: dict[str, Work] = {}
_gates: dict[str, asyncio.Lock] = {}  # for decisions: short, and never while a run works


@asynccontextmanager
async def _alone(conversation: str) -> AsyncIterator[Work]:
    if conversation in _works:
        raise No(409, "busy")
    work = _works[conversation] = Work()
    try:
        yield work
    finally:
        del _works[conversation]


async def owned(user_id: str, conversation: str) -> Document:
    document = await store.find(conversation)
    if document is None or document["user"] != user_id:
        raise No(404, "not_found")
    return document


async def chat(user_id: str, conversation: str, message_id: str, message: str, on_event: OnEvent) -> Any:
    document = await store.find(conversation)
    if document and document["user"] != user_id:
        raise No(404, "not_found")
    if document and (answer := _answer_of(document, message_id, message)):
        return answer
    async with _alone(conversation) as work:
        document = await store.find(conversation) or {"user": user_id, "runs": []}
        if document["user"] != user_id:
            raise No(404, "not_found")
        if answer := _answer_of(document, message_id, message):
            return answer
        runs = document["runs"]
        if not runs or runs[-1]["id"] != message_id:
            if any(_pending(call) for call in _calls(runs[-1:])):
                raise No(409, "awaiting_approval")
            await _close(conversation, runs[-1:])
            runs.append({"id": message_id, "message": message, "turns": [], "answer": None})
            await store.save(conversation, document)
        return await _work(conversation, document, work, on_event)


def _answer_of(document: Document, message_id: str, message: str) -> Any:
    for run in document["runs"]:
        if run["id"] == message_id:
            if run["message"] != message:
                raise No(409, "message_differs")
            if run["answer"] is None and run is not document["runs"][-1]:
                raise No(409, "superseded")
            return run["answer"]
    return None


def cancel(conversation: str) -> None:
    work = _works.get(conversation)
    if work is None or work.task is None:
        raise No(409, "idle")
    work.cancelled = True
    work.task.cancel()


async def decide(user_id: str, approval_id: str, decision: str, claimed: Any) -> Any:
    """An approval's id begins with its conversation: nothing has to be looked up elsewhere."""
    conversation = approval_id.partition(".")[0]
    await owned(user_id, conversation)
    async with _gates.setdefault(conversation, asyncio.Lock()):
        document = await owned(user_id, conversation)
        found = [c for c in _calls(document["runs"]) if c["approval"] and c["approval"]["id"] == approval_id]
        if not found:
            raise No(404, "not_found")
        approval = found[0]["approval"]
        if approval["decision"]:
            raise No(409, "decided")
        if approval["expires"] <= time.time():
            raise No(410, "expired")
        if decision == "approve" and claimed != approval["hash"]:
            raise No(409, "arguments_differ")
        async with _alone(conversation) as work:
            approval["decision"] = decision
            run = document["runs"][-1]
            run["answer"] = _answer(conversation, run, "awaiting_approval")
            if any(_pending(call) for call in _calls([run])):
                await store.save(conversation, document)
                return run["answer"]
            run["answer"] = None
            await store.save(conversation, document)
            return await _work(conversation, document, work, None)


def _calls(runs: list[Any]) -> list[Any]:
    return [call for run in runs for turn in run["turns"] for call in turn["calls"]]


def _pending(call: Any) -> bool:
    approval = call["approval"]
    return bool(approval and not approval["decision"] and approval["expires"] > time.time() and call["result"] is None)


async def _work(conversation: str, document: Document, work: Work, on_event: OnEvent) -> Any:
    work.task = asyncio.create_task(_until_stopped(conversation, document, work, on_event))
    return await asyncio.shield(work.task)


async def _until_stopped(conversation: str, document: Document, work: Work, on_event: OnEvent) -> Any:
    try:
        async with asyncio.timeout(setting("MAX_SECONDS", 30)):
            return await _loop(conversation, document, on_event)
    except TimeoutError:
        reason = "max_seconds"
    except asyncio.CancelledError:
        if not work.cancelled:
            raise
        reason = "cancelled"
    return await _end(conversation, document, "stopped", reason)


async def _loop(conversation: str, document: Document, on_event: OnEvent) -> Any:
    run = document["runs"][-1]
    while True:
        if not run["turns"] or (run["turns"][-1]["calls"] and all(c["result"] for c in run["turns"][-1]["calls"])):
            on_text = (lambda text: on_event("text", {"delta": text})) if on_event else None
            turn = await next_turn(document, on_text)
            run["turns"].append(turn)
            await store.save(conversation, document)
        turn = run["turns"][-1]
        if turn["ending"] != "end":
            return await _end(conversation, document, "stopped", turn["ending"])
        if not turn["calls"]:
            return await _end(conversation, document, "answered")
        (role,) = await store.one("SELECT role FROM users WHERE user_id = %s", document["user"])
        if not any(call["result"] or call["approval"] for call in turn["calls"]):
            if reason := _reason_to_stop(run, role):
                return await _end(conversation, document, "stopped", reason)
        await _carry_out(conversation, document, turn, role, on_event)
        if any(_pending(call) for call in turn["calls"]):
            run["answer"] = _answer(conversation, run, "awaiting_approval")
            await store.save(conversation, document)
            return run["answer"]


async def _carry_out(conversation: str, document: Document, turn: Any, role: str, on_event: OnEvent) -> None:
    ready = []
    for call in turn["calls"]:
        if call["result"] is not None:
            continue
        if call["approval"] is None and await _wants_a_human(conversation, call, role):
            call["approval"] = _question(conversation, call)
        approval = call["approval"]
        if approval is None or approval["decision"] == "approve":
            ready.append(call)
        elif approval["decision"] == "deny":
            call["result"] = DENIED
        elif approval["expires"] <= time.time():
            call["result"] = EXPIRED
    await store.save(conversation, document)

    async def one(call: Any) -> None:
        call["result"] = await toolbox.carry_out(document["user"], conversation, call)
        if on_event:
            on_event("tool", {"id": call["id"], "name": call["name"], "error": toolbox.word_of(call["result"])})

    async with asyncio.TaskGroup() as group:
        for call in ready:
            group.create_task(one(call))
    # Results that a crash loses here are found again: reading is repeated, effects know their ids.
    await store.save(conversation, document)


async def _wants_a_human(conversation: str, call: Any, role: str) -> bool:
    if call["name"] != "issue_credit" or await _done(conversation, call):
        return False
    try:
        toolbox.checked(call["name"], call["arguments"], role)
    except toolbox.ToolFault:
        return False
    return True


async def _done(conversation: str, call: Any) -> str | None:
    query = "SELECT result FROM assistant_done WHERE conversation = %s AND call_id = %s"
    row = await store.one(query, conversation, call["id"])
    return row[0] if row else None


def _question(conversation: str, call: Any) -> Any:
    text = json.dumps(json.loads(call["arguments"]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {
        "id": f"{conversation}.{secrets.token_hex(8)}",
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "expires": time.time() + setting("APPROVAL_SECONDS", 600),
        "decision": None,
    }


def _reason_to_stop(run: Any, role: str) -> str | None:
    turns, last = run["turns"], run["turns"][-1]["calls"]
    same = Counter(_key(call) for call in _calls([run]))
    invalid = 0
    for turn in turns:
        for call in turn["calls"]:
            if turn is not turns[-1]:
                invalid += toolbox.word_of(call["result"]) in ("unknown_tool", "invalid_arguments")
                continue
            try:
                toolbox.checked(call["name"], call["arguments"], role)
            except toolbox.ToolFault as error:
                invalid += error.word != "forbidden"
    used_up = {
        "max_steps": len(turns) >= setting("MAX_STEPS", 8),
        "max_tokens": sum(turn["tokens"] for turn in turns) >= setting("MAX_TOKENS", 20000),
        "invalid_calls": invalid >= setting("MAX_INVALID", 3),
        "identical_calls": max(same[_key(call)] for call in last) >= setting("MAX_IDENTICAL", 3),
    }
    return next((reason for reason, over in used_up.items() if over), None)


def _key(call: Any) -> str:
    try:
        return json.dumps([call["name"], json.loads(call["arguments"])], sort_keys=True)
    except ValueError:
        return f"{call['name']} {call['arguments']}"


async def _close(conversation: str, runs: list[Any]) -> None:
    for call in _calls(runs):
        if call["result"] is None:
            decision = (call["approval"] or {}).get("decision")
            late = call["approval"] and not decision and call["approval"]["expires"] <= time.time()
            other = DENIED if decision == "deny" else EXPIRED if late else NOT_RUN
            call["result"] = await _done(conversation, call) or other


async def _end(conversation: str, document: Document, status: str, reason: str | None = None) -> Any:
    run = document["runs"][-1]
    await _close(conversation, [run])
    run["answer"] = _answer(conversation, run, status, reason)
    await store.save(conversation, document)
    return run["answer"]


def _answer(conversation: str, run: Any, status: str, reason: str | None = None) -> Any:
    asked = [call for call in _calls([run]) if _pending(call)] if status == "awaiting_approval" else []
    return {
        "status": status,
        "reason": reason,
        "answer": run["turns"][-1]["text"] if status == "answered" else None,
        "conversation": conversation,
        "message_id": run["id"],
        "steps": len(run["turns"]),
        "tokens": sum(turn["tokens"] for turn in run["turns"]),
        "approvals": [
            {
                "approval_id": call["approval"]["id"],
                "tool": call["name"],
                "arguments": json.loads(call["arguments"]),
                "arguments_hash": call["approval"]["hash"],
                "expires_at": datetime.fromtimestamp(call["approval"]["expires"], UTC).isoformat(timespec="seconds"),
            }
            for call in asked
        ],
    }
