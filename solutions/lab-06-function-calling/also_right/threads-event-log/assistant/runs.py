"""One run at a time in a conversation: the loop, the budgets, the questions to a human."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from assistant import log
from assistant.log import Run, Turn
from assistant.stopping import Stop, Stopped
from assistant.tools import Refused, carry_out, error, read_arguments, word_of
from assistant.wires import ask

OnEvent = Callable[[str, dict[str, Any]], None]
INVALID = ("unknown_tool", "invalid_arguments")
NOT_RUN = error("not_run", "This was not carried out.")
_under_way: dict[str, Stop] = {}
_lock = threading.Condition()


class Answered(Exception):
    """The client gets this status and word."""

    def __init__(self, status: int, word: str) -> None:
        super().__init__(word)
        self.status, self.word = status, word


def _budget(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


@contextmanager
def _working(conversation: str, *, patient: bool = False) -> Iterator[Stop]:
    with _lock:
        while patient and conversation in _under_way:
            _lock.wait()
        if conversation in _under_way:
            raise Answered(409, "busy")
        stop = _under_way[conversation] = Stop()
    try:
        yield stop
    finally:
        with _lock:
            del _under_way[conversation]
            _lock.notify_all()


def cancel(conversation: str) -> None:
    with _lock:
        stop = _under_way.get(conversation)
    if stop is None:
        raise Answered(409, "idle")
    stop.now("cancelled")


def chat(user_id: str, conversation: str, message_id: str, message: str, on_event: OnEvent | None) -> dict[str, Any]:
    """Carry a message out, go on with it, or give its answer."""
    if not log.owns(user_id, conversation, claim=True):
        raise Answered(404, "not_found")
    if answer := _known(conversation, log.read(conversation), message_id, message):
        return answer
    with _working(conversation) as stop:
        runs = log.read(conversation)
        if answer := _known(conversation, runs, message_id, message):
            return answer
        if not any(run.message_id == message_id for run in runs):
            if runs and any(asked[5:] == (False, None) for asked in log.questions(conversation, runs[-1]).values()):
                raise Answered(409, "awaiting_approval")
            if runs:
                _close(conversation, runs[-1])
            log.append(conversation, kind="message", id=message_id, text=message)
        return _drive(user_id, conversation, stop, on_event)


def _known(conversation: str, runs: list[Run], message_id: str, message: str) -> dict[str, Any] | None:
    for run in runs:
        if run.message_id == message_id:
            if run.message != message:
                raise Answered(409, "message_differs")
            if run.answer is None and run is not runs[-1]:
                raise Answered(409, "superseded")
            return None if _was_decided(conversation, run) else run.answer
    return None


def _was_decided(conversation: str, run: Run) -> bool:
    """Whether a run that waited for a human has had its last decision, and then the program died."""
    if run.answer is None or run.answer["status"] != "awaiting_approval":
        return False
    asked = [one[5:] for one in log.questions(conversation, run).values()]
    return (False, None) not in asked and any(decision for _, decision in asked)


def decide(user_id: str, approval_id: str, decision: str, claimed: object) -> dict[str, Any]:
    """Take a human's decision; the last one of a run makes it go on."""
    found = log.rows(
        "SELECT conversation, hash, expires <= now(), decision FROM desk_question"
        " LEFT JOIN desk_decision USING (approval_id) WHERE approval_id = %s",
        approval_id,
    )
    if not found or not log.owns(user_id, found[0][0]):
        raise Answered(404, "not_found")
    ((conversation, wanted, late, before),) = found
    if before is not None:
        raise Answered(409, "decided")
    if late:
        raise Answered(410, "expired")
    if decision == "approve" and claimed != wanted:
        raise Answered(409, "arguments_differ")
    if not log.decide(approval_id, decision):
        raise Answered(409, "decided")
    with _working(conversation, patient=True) as stop:
        answer = log.read(conversation)[-1].answer
        if answer and answer["status"] != "awaiting_approval":
            return answer  # somebody else's decision, a moment later, has taken it to its end
        if answer:
            log.append(conversation, kind="resumed")
        return _drive(user_id, conversation, stop, None)


def _drive(user_id: str, conversation: str, stop: Stop, on_event: OnEvent | None) -> dict[str, Any]:
    clock = threading.Timer(_budget("MAX_SECONDS", 30), stop.now, ["max_seconds"])
    clock.daemon = True
    clock.start()
    try:
        return _loop(user_id, conversation, stop, on_event)
    except Stopped:
        run = log.read(conversation)[-1]
        _close(conversation, run)
        return _answer(conversation, run, "stopped", reason=stop.reason)
    finally:
        clock.cancel()


def _loop(user_id: str, conversation: str, stop: Stop, on_event: OnEvent | None) -> dict[str, Any]:
    on_text = (lambda text: on_event("text", {"delta": text})) if on_event else None
    while True:
        stop.check()
        runs = log.read(conversation)
        run = runs[-1]
        turn = run.turns[-1] if run.turns else None
        if turn is None or (turn.calls and not turn.open()):
            turn = ask(runs, stop, on_text)
            log.append(conversation, kind="reply", turn={**turn.__dict__, "results": {}})
            continue
        if turn.ending != "end":
            _close(conversation, run)
            return _answer(conversation, run, "stopped", reason=turn.ending)
        if not turn.calls:
            return _answer(conversation, run, "answered", answer=turn.text)
        ((role,),) = log.rows("SELECT role FROM users WHERE user_id = %s", user_id)
        if not turn.results and not log.questions(conversation, run).keys() & _places(run):
            if reason := _used_up(run, turn, role):
                _close(conversation, run)
                return _answer(conversation, run, "stopped", reason=reason)
        if _carry_out_turn(user_id, conversation, run, turn, role, stop, on_event):
            return _answer(conversation, run, "awaiting_approval")


def _places(run: Run) -> set[tuple[int, int]]:
    return {(len(run.turns) - 1, n) for n in range(len(run.turns[-1].calls))}


def _used_up(run: Run, turn: Turn, role: str) -> str | None:
    calls = [(name, _equal(text)) for one in run.turns for _, name, text in one.calls]
    invalid = sum(_invalid(name, text, role) for _, name, text in turn.calls)
    invalid += sum(word_of(result) in INVALID for one in run.turns[:-1] for result in one.results.values())
    often = Counter(calls)
    if len(run.turns) >= _budget("MAX_STEPS", 8):
        return "max_steps"
    if sum(one.tokens for one in run.turns) >= _budget("MAX_TOKENS", 20_000):
        return "max_tokens"
    if invalid >= _budget("MAX_INVALID", 3):
        return "invalid_calls"
    if any(often[name, _equal(text)] >= _budget("MAX_IDENTICAL", 3) for _, name, text in turn.calls):
        return "identical_calls"
    return None


def _equal(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


def _invalid(name: str, text: str, role: str) -> bool:
    try:
        read_arguments(name, text, role)
    except Refused as refused:
        return refused.word in INVALID
    return False


def _carry_out_turn(
    user_id: str, conversation: str, run: Run, turn: Turn, role: str, stop: Stop, on_event: OnEvent | None
) -> bool:
    """Carry out what may be; whether a human has to be waited for."""
    at = len(run.turns) - 1
    waits = False
    ready: list[int] = []
    for n in turn.open():
        call_id, name, text = turn.calls[n]
        if not _needs_a_human(name, text, role) or log.effect(conversation, call_id):
            ready.append(n)
            continue
        asked = log.questions(conversation, run).get((at, n)) or _ask_human(conversation, run, at, n, name, text)
        late, decision = asked[5:]
        if decision == "approve":
            ready.append(n)
        elif decision == "deny" or late:
            told = error("denied", "The user said no.") if decision else error("expired", "Nobody said yes in time.")
            log.append(conversation, kind="result", turn=at, call=n, text=told)
        else:
            waits = True

    def one(n: int) -> None:
        call_id, name, text = turn.calls[n]
        result = carry_out(user_id, conversation, call_id, name, text, stop)
        log.append(conversation, kind="result", turn=at, call=n, text=result)
        if on_event:
            on_event("tool", {"id": call_id, "name": name, "error": word_of(result)})

    with ThreadPoolExecutor(8) as workers:
        for done in [workers.submit(one, n) for n in ready]:
            done.result()
    return waits


def _needs_a_human(name: str, text: str, role: str) -> bool:
    if name != "issue_credit":
        return False
    try:
        read_arguments(name, text, role)
    except Refused:
        return False
    return True


def _ask_human(conversation: str, run: Run, at: int, n: int, name: str, text: str) -> tuple[Any, ...]:
    canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with log.pool.connection() as connection:
        connection.execute(
            "INSERT INTO desk_question VALUES (%s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))"
            " ON CONFLICT DO NOTHING",
            [
                secrets.token_hex(12),
                conversation,
                f"{run.place:06d}/{at:04d}/{n:04d}",
                name,
                canonical,
                hashlib.sha256(canonical.encode()).hexdigest(),
                _budget("APPROVAL_SECONDS", 600),
            ],
        )
    return log.questions(conversation, run)[at, n]


def _close(conversation: str, run: Run) -> None:
    """Answer every call that is still open."""
    for at, turn in enumerate(run.turns):
        for n in turn.open():
            asked = log.questions(conversation, run).get((at, n))
            text = log.effect(conversation, turn.calls[n][0]) or NOT_RUN
            if text == NOT_RUN and asked and asked[6] == "deny":
                text = error("denied", "The user said no.")
            elif text == NOT_RUN and asked and asked[5]:
                text = error("expired", "Nobody said yes in time.")
            log.append(conversation, kind="result", turn=at, call=n, text=text)


def _answer(
    conversation: str, run: Run, status: str, *, reason: str | None = None, answer: str | None = None
) -> dict[str, Any]:
    asked = log.questions(conversation, run).values() if status == "awaiting_approval" else ()
    body = {
        "conversation": conversation,
        "message_id": run.message_id,
        "status": status,
        "reason": reason,
        "answer": answer,
        "approvals": [
            {
                "approval_id": one[0],
                "tool": one[1],
                "arguments": json.loads(one[2]),
                "arguments_hash": one[3],
                "expires_at": one[4].isoformat(),
            }
            for one in asked
            if one[5:] == (False, None)
        ],
        "steps": len(run.turns),
        "tokens": sum(turn.tokens for turn in run.turns),
    }
    log.append(conversation, kind="answer", body=body)
    return body
