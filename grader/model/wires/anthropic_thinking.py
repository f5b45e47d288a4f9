"""Thinking blocks: signed when the model thinks, and wanted back as they were."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from grader.model.memory import Memory
from grader.model.script import Thinking
from grader.model.wires.wire import JsonObject, Rejection, objects, text_of

KINDS = ("thinking", "redacted_thinking")
NONCE_BYTES = 8
CHANGED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. These blocks must "
    "remain as they were in the original response."
)
EXPECTED = (
    "When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
    "set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
    "avoid this requirement, disable `thinking`."
)


@dataclass(frozen=True)
class _Seal:
    """What a signature says: which reply the block was in, as which of how many thinking blocks."""

    nonce: bytes
    place: int
    count: int


class Signer:
    """Signs thinking with the double's secret, so that nobody but this double can have written it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def blocks(self, parts: list[Thinking], *, model: str, reply_id: str, hidden: bool) -> list[JsonObject]:
        """The thinking of one reply as content blocks; `hidden` leaves the text out, not the signature."""
        nonce = hashlib.sha256(reply_id.encode()).digest()[:NONCE_BYTES]
        made: list[JsonObject] = []
        for place, part in enumerate(parts):
            seal = _Seal(nonce, place, len(parts))
            if part.redacted:
                made.append({"type": "redacted_thinking", "data": self._signature(seal, model, "", redacted=True)})
                continue
            text = "" if hidden else part.text
            made.append({"type": "thinking", "thinking": text, "signature": self._signature(seal, model, text)})
        return made

    def _signature(self, seal: _Seal, model: str, text: str, *, redacted: bool = False) -> str:
        head = bytes([1 if redacted else 0, seal.place % 256, seal.count % 256]) + seal.nonce
        body = head + model.encode("utf-8", "replace") + b"\0" + text.encode("utf-8", "replace")
        return base64.b64encode(head + self._memory.sign(b"thinking:" + body)).decode()

    def _seal_of(self, block: JsonObject, model: str) -> _Seal | None:
        """What the block's signature says, or None when we did not sign this block for this model."""
        redacted = block["type"] == "redacted_thinking"
        given = block["data"] if redacted else block["signature"]
        try:
            raw = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) != 3 + NONCE_BYTES + 16:
            return None
        seal = _Seal(raw[3 : 3 + NONCE_BYTES], raw[1], raw[2])
        text = "" if redacted else block["thinking"]
        return seal if self._signature(seal, model, text, redacted=redacted) == given else None

    def check(self, body: JsonObject) -> None:
        """Raises Rejection when thinking came back altered, out of order, or not at all where it is needed."""
        messages: list[JsonObject] = body["messages"]
        model = text_of(body.get("model"))
        last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
        for index, message in enumerate(messages):
            blocks = [(place, b) for place, b in enumerate(objects(message["content"])) if b["type"] in KINDS]
            if blocks and message["role"] != "assistant":
                raise Rejection(f"messages.{index}: thinking blocks can only be in `assistant` messages")
            seals: list[_Seal] = []
            for place, block in blocks:
                seal = self._seal_of(block, model)
                if seal is None:
                    name = "signature` in `thinking" if block["type"] == "thinking" else "data` in `redacted_thinking"
                    raise Rejection(f"messages.{index}.content.{place}: Invalid `{name}` block")
                if seals and seals[-1].nonce == seal.nonce and seal.place <= seals[-1].place:
                    raise Rejection(f"messages.{index}.content.{place}: {CHANGED}")
                seals.append(seal)
            if index == last:
                _check_whole(seals, blocks, index)
                _check_start(body, message, index)


def _check_whole(seals: list[_Seal], blocks: list[tuple[int, JsonObject]], index: int) -> None:
    """The latest reply's thinking is there from its first block to its last, or left out as a whole."""
    for nonce in dict.fromkeys(seal.nonce for seal in seals):
        ours = [seal for seal in seals if seal.nonce == nonce]
        if [seal.place for seal in ours] != list(range(ours[0].count)):
            raise Rejection(f"messages.{index}.content.{blocks[0][0]}: {CHANGED}")


def _check_start(body: JsonObject, message: JsonObject, index: int) -> None:
    """Thinking comes first; where `enabled` was asked for, tool calls that are being answered need it before them."""
    content = objects(message["content"])
    kinds = [block["type"] for block in content]
    if not kinds or kinds[0] in KINDS:
        return
    if any(kind in KINDS for kind in kinds):
        raise Rejection(
            f"messages.{index}.content.0: If an assistant message contains any thinking blocks, the first block must "
            f"be `thinking` or `redacted_thinking`. Found `{kinds[0]}`."
        )
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and "tool_use" in kinds:
        raise Rejection(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. "
            f"{EXPECTED}"
        )
