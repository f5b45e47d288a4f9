"""Message threads: conversations that the double keeps, so that a request brings only what is new.

Rules: platform.claude.com/docs/en/build-with-claude/message-threads and the error types of anthropic 2.12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grader.model.journal import Message, Request
from grader.model.memory import Memory
from grader.model.wires.anthropic_prompt import without_marks
from grader.model.wires.wire import JsonObject, Rejection, canonical, objects, text_of

BETA = "message-threads-2026-08-12"
SECONDS = 300  # a thread expires so long after the last request of it
FIXED = ("model", "thinking", "tool_choice", "cache_control", "output_config", "speed", "container", "inference_geo")
KEPT = ("system", "tools")
UNSUPPORTED = ("context_management", "fallbacks")
DIRECTIONS: Mapping[str, str] = {
    "thread_not_found": (
        "No thread state was found for the requested `previous_message_id`. Replay the full conversation with "
        '`thread: {"type": "create"}` to start a new Thread.'
    ),
    "thread_already_continued": (
        "The response that `previous_message_id` names has already been continued, and each response can be continued "
        "only once. Continue from the Thread's most recent response `id`."
    ),
    "thread_continue_in_flight": (
        "Another request is still continuing from the same `previous_message_id`. Wait for it to complete and continue "
        'from its response `id`, or replay the full conversation with `thread: {"type": "create"}`.'
    ),
}


@dataclass(eq=False)
class Kept:
    """A conversation up to one reply; `taken_by` is the number of the request that is continuing it right now."""

    account: str
    fixed: Mapping[str, str]
    body: JsonObject  # system and tools, as the thread was created with
    messages: list[JsonObject]
    read: tuple[Message, ...]  # the same in neutral words
    until: float
    continued: bool = False
    taken_by: int | None = None


class Threads:
    """The threads of one double, by the id of the reply that each of them ends with."""

    def __init__(self, memory: Memory) -> None:
        self._clock = memory.clock
        self._kept = memory.shelf(most=2000)

    def find(self, body: Mapping[str, Any], account: str) -> Kept | None:
        """The conversation that a request continues, if it is there and not too old."""
        thread = body.get("thread")
        if not isinstance(thread, dict) or thread.get("type") != "continue":
            return None
        kept: Kept | None = self._kept.get(text_of(thread.get("previous_message_id")))
        return kept if kept and kept.account == account and kept.until > self._clock.now() else None

    def whole(self, body: JsonObject, account: str) -> JsonObject:
        """The body as if the whole conversation had been sent."""
        kept = self.find(body, account)
        if kept is None:
            return body
        return {**body, **kept.body, "messages": [*kept.messages, *objects(body.get("messages"))]}

    def check(self, body: JsonObject, request: Request) -> None:
        """Raises Rejection when the request cannot create or continue a thread; else takes the thread for itself."""
        thread = body.get("thread")
        if thread is None:
            return
        if BETA not in request.headers.get("anthropic-beta", ""):
            raise Rejection("thread: Extra inputs are not permitted")
        if not isinstance(thread, dict) or thread.get("type") not in ("create", "continue"):
            raise Rejection("thread.type: Input should be 'create' or 'continue'")
        if unsupported := [name for name in UNSUPPORTED if body.get(name) is not None]:
            raise Rejection(
                f"thread: cannot be combined with {', '.join(unsupported)}. Send the full conversation without "
                "`thread`, or change that field.",
                details={"error_code": "thread_unsupported_request", "unsupported": unsupported},
            )
        if thread["type"] == "continue":
            self._check_continue(body, thread, request)

    def _check_continue(self, body: JsonObject, thread: JsonObject, request: Request) -> None:
        if not isinstance(thread.get("previous_message_id"), str):
            raise Rejection("thread.continue.previous_message_id: Field required")
        kept = self.find(body, request.account)
        if kept is None:
            raise _refusal("thread_not_found", 404)
        if kept.continued:
            raise _refusal("thread_already_continued")
        if kept.taken_by is not None:
            raise _refusal("thread_continue_in_flight")
        if repeated := [
            name for name in KEPT if name in body and canonical(body[name]) == canonical(kept.body.get(name))
        ]:
            raise Rejection(
                f"thread: `{repeated[0]}` is taken from the Thread on a `continue`: leave it out of the request."
            )
        fixed = _fixed(body, request.headers)
        differing = [name for name in (*FIXED, "anthropic-beta") if fixed[name] != kept.fixed[name]]
        if differing := [*differing, *(name for name in KEPT if name in body)]:
            raise Rejection(
                "A field that must stay the same across a Thread's turns differs from the value stored with the "
                f"Thread; differing field(s): {', '.join(differing)}. Send the stored values, or replay the full "
                'conversation with `thread: {"type": "create"}` to change them.',
                details={"error_code": "thread_fingerprint_mismatch"},
            )
        kept.taken_by = request.number

    def settle(self, request: Request, whole: JsonObject | None, reply: tuple[str, JsonObject, Message] | None) -> None:
        """The request is over: its conversation is kept under the id of the reply, or can be continued again.

        Args:
            whole: the body with the whole conversation; None when no reply was made.
            reply: id, message and the same in neutral words; None when there is nothing to continue from.
        """
        thread = request.body.get("thread")
        if not isinstance(thread, dict):
            return
        before: Kept | None = self._kept.get(text_of(thread.get("previous_message_id")))
        if before is not None and before.taken_by == request.number:
            before.taken_by = None
            if reply is not None:
                before.continued, before.messages, before.read = True, [], ()
                before.until = self._clock.now() + SECONDS
        if whole is None or reply is None:
            return
        reply_id, message, read = reply
        kept = Kept(
            account=request.account,
            fixed=_fixed(request.body, request.headers),
            body={name: whole[name] for name in KEPT if name in whole},
            messages=[without_marks(one) for one in (*whole["messages"], message)],
            read=(*request.messages, read),
            until=self._clock.now() + SECONDS,
        )
        self._kept.put(reply_id, kept, size=len(canonical(kept.messages)) + len(canonical(kept.body)))


def _refusal(code: str, status: int = 400) -> Rejection:
    return Rejection(DIRECTIONS[code], status=status, details={"error_code": code})


def _fixed(body: Mapping[str, Any], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What must stay the same from turn to turn."""
    betas = sorted(name.strip() for name in headers.get("anthropic-beta", "").split(",") if name.strip())
    return {**{name: canonical(body.get(name)) for name in FIXED}, "anthropic-beta": canonical(betas)}
