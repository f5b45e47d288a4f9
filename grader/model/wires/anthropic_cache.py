"""Anthropic's prompt cache: which prefix of a prompt is read from it, and which ones are written to it."""

from __future__ import annotations

from dataclasses import dataclass

from grader.model.journal import tokens_of
from grader.model.memory import Memory
from grader.model.wires.anthropic_catalogue import model_named
from grader.model.wires.anthropic_prompt import Piece, as_read, chain
from grader.model.wires.wire import JsonObject, encoded, text_of

LOOKBACK = 20  # blocks that are looked at from each breakpoint, the breakpoint's own among them
SECONDS = {"5m": 300, "1h": 3600}
ENTRY_BYTES = 256


@dataclass(frozen=True)
class Entry:
    """A prefix that is in the cache."""

    seconds: int
    until: float


@dataclass(frozen=True)
class Plan:
    """What one request does with the cache; tokens of its prompt are read, written or neither.

    Attributes:
        cached: tokens of the longest prefix that is in the cache once the request has been answered.
        entries: prefixes to keep or to keep longer, with their seconds to live.
    """

    fresh: int
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    cached: int = 0
    entries: tuple[tuple[str, int], ...] = ()


class PromptCache:
    """One for each double, shared by what all of its programs send with the same key to the same model."""

    def __init__(self, memory: Memory) -> None:
        self._clock = memory.clock
        self._entries = memory.shelf(most=20_000)

    def plan(self, body: JsonObject, pieces: tuple[Piece, ...], account: str) -> Plan:
        """What the cache does for a request that arrives now; nothing is written before it is answered."""
        ends = _ends(pieces)
        total = ends[-1] if ends else 0
        least = model_named(text_of(body.get("model"))).least_cached
        marks = [(index, piece.mark) for index, piece in enumerate(pieces) if piece.mark and ends[index] >= least]
        if not marks:
            return Plan(fresh=total)
        keys = _keys(body, pieces[: marks[-1][0] + 1], account)
        looked_at = sorted({i for mark, _ in marks for i in range(mark, max(-1, mark - LOOKBACK), -1)}, reverse=True)
        hit = next((i for i in looked_at if ends[i] >= least and self._alive(keys[i])), None)
        read = 0 if hit is None else ends[hit]
        cached = ends[marks[-1][0]]
        up_to_1h = max((ends[index] for index, ttl in marks if ttl == "1h"), default=0)
        entries = {keys[index]: SECONDS[ttl] for index, ttl in marks}
        if hit is not None:
            entries.setdefault(keys[hit], 0)
        return Plan(
            fresh=total - max(cached, read),
            read=read,
            write_1h=max(0, up_to_1h - read),
            write_5m=max(0, cached - max(read, up_to_1h)),
            cached=max(cached, read),
            entries=tuple(entries.items()),
        )

    def commit(self, plan: Plan) -> None:
        """The request was answered: its prefixes are in the cache, and those that it used live on from now."""
        now = self._clock.now()
        for key, seconds in plan.entries:
            known = self._alive(key)
            lasting = max(seconds, known.seconds if known else 0)
            if lasting:
                self._entries.put(key, Entry(lasting, now + lasting), size=ENTRY_BYTES)

    def _alive(self, key: str) -> Entry | None:
        entry: Entry | None = self._entries.get(key)
        return entry if entry and entry.until > self._clock.now() else None


def _ends(pieces: tuple[Piece, ...]) -> list[int]:
    """Tokens of the prompt up to the end of each block."""
    ends: list[int] = []
    characters = 0
    for piece in pieces:
        characters += piece.characters
        ends.append(tokens_of(characters))
    return ends


def _keys(body: JsonObject, pieces: tuple[Piece, ...], account: str) -> list[str]:
    """What stands for each prefix: its bytes, the key and the model; and for messages, what else shapes the prompt."""
    seed = encoded([account, body.get("model"), body.get("speed")])
    shape = encoded([body.get("tool_choice"), body.get("thinking"), _format(body)])
    parts: list[bytes] = []
    for index, piece in enumerate(pieces):
        first = piece.section == "messages" and (index == 0 or pieces[index - 1].section != "messages")
        parts.append((shape if first else b"") + as_read(piece))
    return [key.hex() for key in chain(seed, parts)]


def _format(body: JsonObject) -> object:
    config = body.get("output_config")
    return config.get("format") if isinstance(config, dict) else None
