"""Says why the prompt cache could not fully serve a request: what changed since the one it names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from grader.model.memory import Memory
from grader.model.wires.anthropic_prompt import without_marks
from grader.model.wires.wire import JsonObject, encoded, objects

FINGERPRINT_BYTES = 512
MESSAGE_BYTES = 64


@dataclass(frozen=True)
class Fingerprint:
    """What a request was, part by part; `cached` is how many of its tokens were in the cache afterwards."""

    account: str
    model: bytes
    system: bytes
    tools: bytes
    messages: tuple[bytes, ...]
    others: bytes
    cached: int


class Diagnostics:
    """Remembers what each request was, by the id of its reply."""

    def __init__(self, memory: Memory) -> None:
        self._known = memory.shelf()

    def of(self, body: JsonObject, now: Fingerprint, read: int) -> JsonObject | None:
        """The `diagnostics` of a reply: None when not asked for, or when nothing diverged."""
        asked = body.get("diagnostics")
        if not isinstance(asked, dict) or asked.get("previous_message_id") is None:
            return None
        before: Fingerprint | None = self._known.get(asked["previous_message_id"])
        if before is None or before.account != now.account:
            return {"cache_miss_reason": {"type": "previous_message_not_found"}}
        changed = _changed(before, now)
        if changed is None:
            return None
        if changed == "unavailable":
            return {"cache_miss_reason": {"type": changed}}
        missed = max(0, before.cached - read)
        return {"cache_miss_reason": {"type": changed, "cache_missed_input_tokens": missed}}

    def remember(self, reply_id: str, fingerprint: Fingerprint) -> None:
        self._known.put(reply_id, fingerprint, size=FINGERPRINT_BYTES + MESSAGE_BYTES * len(fingerprint.messages))


def fingerprint(body: JsonObject, account: str, cached: int) -> Fingerprint:
    return Fingerprint(
        account=account,
        model=_digest([body.get("model"), body.get("speed")]),
        system=_digest(body.get("system")),
        tools=_digest(body.get("tools")),
        messages=tuple(_digest(message) for message in objects(body.get("messages"))),
        others=_digest([body.get(name) for name in ("tool_choice", "thinking", "output_config")]),
        cached=cached,
    )


def _changed(before: Fingerprint, now: Fingerprint) -> str | None:
    if before.model != now.model:
        return "model_changed"
    if before.system != now.system:
        return "system_changed"
    if before.tools != now.tools:
        return "tools_changed"
    if now.messages[: len(before.messages)] != before.messages:
        return "messages_changed"
    return None if before.others == now.others else "unavailable"


def _digest(value: object) -> bytes:
    return hashlib.blake2b(encoded(without_marks(value)), digest_size=16).digest()
