"""OpenAI's prompt cache: the longest prefix that an earlier request brought, in blocks of 128 tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from grader.model.journal import CHARACTERS_PER_TOKEN, Message, Request, Tool
from grader.model.memory import Memory
from grader.model.wires.wire import canonical

# developers.openai.com/api/docs/guides/prompt-caching: prompts of 1,024 tokens and more, hits in steps of 128.
SHORTEST = 1024
BLOCK = 128
LIFETIMES = {"30m": 30 * 60, "12h": 12 * 3600, "24h": 24 * 3600, "in_memory": 10 * 60}
# Breakpoints that one request may write: all of them when it has none of the vendor's choosing, else one less.
MOST_MARKS = 4
MOST_PREFIXES = 50_000


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt: what must be equal but has no tokens, then its text; `marked`: a breakpoint ends it."""

    structure: str
    text: str = ""
    marked: bool = False


@dataclass(frozen=True)
class CacheUse:
    """What one request takes from the cache and leaves in it, in tokens; `prefixes` are those it leaves."""

    read: int = 0
    written: int = 0
    prefixes: tuple[bytes, ...] = ()
    seconds: float = 0.0


class PromptCache:
    """Both chat endpoints share it; what a request brings is there for the next once its reply is on its way."""

    def __init__(self, memory: Memory) -> None:
        self._clock = memory.clock
        self._expiry = memory.shelf(most=MOST_PREFIXES)

    def look_up(self, request: Request, settings: object, segments: Iterable[Segment]) -> CacheUse:
        """`settings` are the parts of the request that a hit must have in common with what was kept."""
        options = request.body.get("prompt_cache_options")
        options = options if isinstance(options, Mapping) else {}
        explicit = options.get("mode") == "explicit"
        head = canonical([request.account, request.model, request.body.get("prompt_cache_key"), settings])
        prefixes = list(_prefixes(head, segments, blocks=not explicit, marks=MOST_MARKS - (not explicit)))
        now = self._clock.now()
        read = max((tokens for tokens, digest in prefixes if self._holds(digest, now)), default=0)
        longest = max((tokens for tokens, _ in prefixes), default=0)
        lifetime = options.get("ttl") or request.body.get("prompt_cache_retention") or "30m"
        seconds = LIFETIMES.get(lifetime, LIFETIMES["30m"]) if isinstance(lifetime, str) else LIFETIMES["30m"]
        return CacheUse(read, longest - read, tuple(digest for _, digest in prefixes), seconds)

    def remember(self, use: CacheUse) -> None:
        """A prefix lives on from its last use."""
        now = self._clock.now()
        for digest in use.prefixes:
            self._expiry.put(digest.hex(), now + use.seconds, size=100)

    def _holds(self, digest: bytes, now: float) -> bool:
        expiry = self._expiry.get(digest.hex())
        return expiry is not None and expiry > now


def segments_of(tools: Iterable[Tool], messages: Iterable[Message]) -> Iterator[Segment]:
    """A prompt as the cache sees it: what is read counts as tokens, what else is in a block must only be equal."""
    yield from (Segment("tool", tool.read) for tool in tools)
    for message in messages:
        for block in message.blocks:
            counted = block.kind in ("text", "tool_result", "other", "tool_use")
            structure = canonical([message.role, block.kind, block.id, None if counted else block.raw])
            raw: Any = block.raw
            marked = isinstance(raw, Mapping) and isinstance(raw.get("prompt_cache_breakpoint"), Mapping)
            yield Segment(structure, block.read, marked)


def _prefixes(head: str, segments: Iterable[Segment], *, blocks: bool, marks: int) -> Iterator[tuple[int, bytes]]:
    """Lengths in tokens and fingerprints of the prefixes that may be kept: at each block, and at the last marks."""
    pieces = tuple(segments)
    if sum(len(piece.text) for piece in pieces) < SHORTEST * CHARACTERS_PER_TOKEN:
        return
    marked = [index for index, piece in enumerate(pieces) if piece.marked][-marks:]
    state = hashlib.blake2b(head.encode("utf-8", "surrogatepass"), digest_size=16)
    step = BLOCK * CHARACTERS_PER_TOKEN
    length = 0
    for index, piece in enumerate(pieces):
        state.update(b"\0" + piece.structure.encode("utf-8", "surrogatepass") + b"\0")
        start = 0
        while start < len(piece.text):
            end = min(len(piece.text), start + step - length % step)
            state.update(piece.text[start:end].encode("utf-8", "surrogatepass"))
            length, start = length + end - start, end
            if blocks and length % step == 0 and length >= SHORTEST * CHARACTERS_PER_TOKEN:
                yield length // CHARACTERS_PER_TOKEN, state.digest()
        if index in marked and length >= SHORTEST * CHARACTERS_PER_TOKEN:
            yield length // CHARACTERS_PER_TOKEN, state.digest() + b"mark"
