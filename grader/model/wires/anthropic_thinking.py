"""Thinking blocks: signed when the model thinks, and wanted back as they were, where they were."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from grader.model.memory import Memory
from grader.model.script import Thinking
from grader.model.wires.anthropic_catalogue import model_named
from grader.model.wires.anthropic_prompt import Piece, as_read, chain, pieces_of
from grader.model.wires.wire import JsonObject, Rejection, canonical, objects, text_of

KINDS = ("thinking", "redacted_thinking")
CONTROLS_BETA = "thinking-binding-controls-2026-08-01"
SIGNATURE_BYTES = 16
START = b"prompt"
BOUND_ELSEWHERE = (
    "The block is bound to a different conversation. Remove the block, or set "
    '`thinking.block_binding.prefix_mismatch_behavior` to "drop_block".'
)
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
class Seal:
    """What a signature says of its block: of which reply, which of how many, by which model, after which prompt."""

    reply: str
    place: int
    count: int
    model: str
    account: str
    prefix: str

    def written(self) -> str:
        return canonical([self.reply, self.place, self.count, self.model, self.account, self.prefix])


class Signer:
    """Signs thinking with the double's secret, so that nobody but this double can have written it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def block(self, part: Thinking, seal: Seal, *, hidden: bool) -> JsonObject:
        """The thinking as a content block; `hidden` leaves the text out, not the signature."""
        if part.redacted:
            return {"type": "redacted_thinking", "data": self._signature(seal, "redacted")}
        text = "" if hidden else part.text
        return {"type": "thinking", "thinking": text, "signature": self._signature(seal, f"thinking:{text}")}

    def _signature(self, seal: Seal, text: str) -> str:
        head = seal.written()
        signed = self._memory.sign(f"{head}\0{text}".encode("utf-8", "replace"))
        return base64.b64encode(signed + head.encode("utf-8", "replace")).decode()

    def seal_of(self, block: JsonObject) -> Seal | None:
        """What the block's signature says, or None when this block is none that we signed."""
        redacted = block["type"] == "redacted_thinking"
        given = block["data"] if redacted else block["signature"]
        try:
            raw = base64.b64decode(given, validate=True)
            head = raw[SIGNATURE_BYTES:].decode()
        except (binascii.Error, ValueError):
            return None
        text = "redacted" if redacted else f"thinking:{block['thinking']}"
        if raw[:SIGNATURE_BYTES] != self._memory.sign(f"{head}\0{text}".encode("utf-8", "replace")):
            return None
        return Seal(*json.loads(head))


def prefixes(pieces: tuple[Piece, ...]) -> list[str]:
    """What stands for the prompt before each block, and at the end for all of it; markers of caches left out."""
    return [START.hex(), *(link.hex() for link in chain(START, map(as_read, pieces)))]


@dataclass(frozen=True)
class Dropped:
    """A block that the model is not shown."""

    path: str
    reason: str

    def reported(self) -> JsonObject:
        return {"type": "thinking_dropped", "path": self.path, "reason": self.reason}


def judge_thinking(signer: Signer, body: JsonObject, headers: Mapping[str, str], account: str) -> tuple[Dropped, ...]:
    """The thinking of earlier turns that the model cannot be shown.

    Raises:
        Rejection: thinking came back altered, out of order or after another prompt, or not at all where it is needed.
    """
    messages: list[JsonObject] = body["messages"]
    _check_roles(messages)
    if not any(block["type"] in KINDS for message in messages for block in objects(message["content"])):
        _check_start(body, messages)
        return ()
    dropped = tuple(_dropped(signer, body, headers, account))
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    _check_latest(signer, messages[last], last)
    _check_start(body, messages)
    return dropped


def _check_roles(messages: list[JsonObject]) -> None:
    for index, message in enumerate(messages):
        if message["role"] != "assistant" and any(block["type"] in KINDS for block in objects(message["content"])):
            raise Rejection(f"messages.{index}: thinking blocks can only be in `assistant` messages")


def _dropped(signer: Signer, body: JsonObject, headers: Mapping[str, str], account: str) -> Iterator[Dropped]:
    pieces = pieces_of(body)
    before = prefixes(pieces)
    model = model_named(text_of(body.get("model")))
    failing: str | None = None
    for index, piece in enumerate(pieces):
        if piece.section != "messages" or piece.block.get("type") not in KINDS:
            continue
        seal = signer.seal_of(piece.block)
        if seal is None:
            raise Rejection(f"{piece.place}: Invalid {_signature_of(piece.block)}")
        if model.binds_account and seal.account != account:
            yield Dropped(piece.place, "organization_binding_mismatch")
        elif seal.model != body.get("model"):
            yield Dropped(piece.place, "model_binding_mismatch")
        elif model.binds_prefix and (failing or seal.prefix != before[index]):
            failing = piece.place  # every later block is invalid with it
            if not _drops(body, headers):
                raise Rejection(f"{piece.place}: Invalid {_signature_of(piece.block)}. {BOUND_ELSEWHERE}")
            yield Dropped(piece.place, "prefix_binding_mismatch")


def _signature_of(block: JsonObject) -> str:
    return "`signature` in `thinking` block" if block["type"] == "thinking" else "`data` in `redacted_thinking` block"


def _drops(body: JsonObject, headers: Mapping[str, str]) -> bool:
    binding = body["thinking"].get("block_binding") if isinstance(body.get("thinking"), dict) else None
    wanted = binding.get("prefix_mismatch_behavior") if isinstance(binding, dict) else None
    return wanted == "drop_block" and CONTROLS_BETA in headers.get("anthropic-beta", "")


def _check_latest(signer: Signer, message: JsonObject, index: int) -> None:
    """The latest reply's thinking is there from its first block to its last in their order, or left out as a whole."""
    places: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    first = 0
    for number, block in enumerate(objects(message["content"])):
        if block["type"] in KINDS and (seal := signer.seal_of(block)):
            first = first if places else number
            places.setdefault(seal.reply, []).append(seal.place)
            counts[seal.reply] = seal.count
    if any(there != list(range(counts[reply])) for reply, there in places.items()):
        raise Rejection(f"messages.{index}.content.{first}: {CHANGED}")


def _check_start(body: JsonObject, messages: list[JsonObject]) -> None:
    """Manual thinking: it comes first in a turn, and tool calls that are being answered need it before them."""
    thinking = body.get("thinking")
    index = max((index for index, message in enumerate(messages) if message["role"] == "assistant"), default=None)
    if index is None or not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    kinds = [block["type"] for block in objects(messages[index]["content"])]
    if not kinds or kinds[0] in KINDS:
        return
    if any(kind in KINDS for kind in kinds):
        raise Rejection(
            f"messages.{index}.content.0: If an assistant message contains any thinking blocks, the first block must "
            f"be `thinking` or `redacted_thinking`. Found `{kinds[0]}`."
        )
    if "tool_use" in kinds:
        raise Rejection(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. "
            f"{EXPECTED}"
        )
