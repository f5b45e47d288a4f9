"""The prompt as Claude reads it: tools, system prompt and messages, block after block in one line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grader.model.journal import CacheMark, tokens_of
from grader.model.wires.wire import JsonObject, canonical, encoded, objects, text_of

Section = Literal["tools", "system", "messages"]


@dataclass(frozen=True)
class Piece:
    """One block of a prompt.

    Attributes:
        place: its path in the body, as error messages write it: `messages.2.content.0`.
        block: as it was sent; a text that was sent as a string is a text block.
        mark: the time to live of the cache breakpoint at its end, or None.
    """

    section: Section
    place: str
    block: JsonObject
    role: str = ""
    mark: str | None = None

    @property
    def characters(self) -> int:
        """How long it is for the model: what tokens are counted by."""
        if self.section == "tools":
            if "input_schema" not in self.block:
                return len(canonical(self.block))
            schema = canonical(self.block["input_schema"])
            return len(text_of(self.block.get("name"))) + len(text_of(self.block.get("description"))) + len(schema)
        if self.block.get("type") == "tool_use":
            return len(text_of(self.block.get("name"))) + len(canonical(self.block.get("input")))
        return len(text_in(self.block))


def pieces_of(body: Mapping[str, Any]) -> tuple[Piece, ...]:
    """All blocks in the order in which the model reads them; what is no block is left out."""
    pieces = [*_tools(body.get("tools")), *_system(body.get("system")), *_messages(body.get("messages"))]
    automatic = body.get("cache_control")
    if isinstance(automatic, dict) and (last := last_cacheable(pieces)) is not None and pieces[last].mark is None:
        piece = pieces[last]
        pieces[last] = Piece(piece.section, piece.place, piece.block, piece.role, _ttl(automatic))
    return tuple(pieces)


def last_cacheable(pieces: Iterable[Piece]) -> int | None:
    """The index of the block that a `cache_control` at the top of the request stands for."""
    return max((index for index, piece in enumerate(pieces) if _is_cacheable(piece.block)), default=None)


def marks_of(pieces: Iterable[Piece]) -> tuple[CacheMark, ...]:
    """The cache breakpoints, each with the tokens of the prompt up to it."""
    marks: list[CacheMark] = []
    characters = 0
    for piece in pieces:
        characters += piece.characters
        if piece.mark is not None:
            marks.append(CacheMark(piece.place, piece.mark, tokens_of(characters)))
    return tuple(marks)


def prompt_tokens(pieces: Iterable[Piece]) -> int:
    return tokens_of(sum(piece.characters for piece in pieces))


def chain(seed: bytes, parts: Iterable[bytes]) -> Iterator[bytes]:
    """After each part, what stands for everything up to it."""
    so_far = seed
    for part in parts:
        so_far = hashlib.blake2b(part, key=hashlib.blake2b(so_far, digest_size=32).digest(), digest_size=16).digest()
        yield so_far


def as_read(piece: Piece) -> bytes:
    """A block as the model reads it: the order of its own fields, cache marks and what is empty or as usual left out.

    The order of fields inside of a schema or of a tool's input matters: the model reads those as they are.
    """
    block = {key: value for key, value in without_marks(piece.block).items() if value is not None}
    if block.get("caller") == {"type": "direct"}:
        del block["caller"]
    if isinstance(block.get("content"), str):
        block["content"] = [{"type": "text", "text": block["content"]}]
    return encoded([piece.section, piece.role, dict(sorted(block.items()))])


def without_marks(value: Any) -> Any:
    """The value without `cache_control`, wherever a block of it has one; what a tool was given stays as it is."""
    if isinstance(value, dict):
        return {
            key: item if key in ("input", "input_schema") else without_marks(item)
            for key, item in value.items()
            if key != "cache_control"
        }
    return [without_marks(item) for item in value] if isinstance(value, list) else value


def text_in(block: JsonObject) -> str:
    """What the model reads of a block as text: not its own thinking."""
    match block.get("type"):
        case "text":
            return text_of(block.get("text"))
        case "tool_result":
            return plain_text(block.get("content"))
        case "tool_use" | "thinking" | "redacted_thinking" | "image":
            return ""
        case _:
            return _document_text(block)


def plain_text(content: object) -> str:
    """The text of a string or of an array of blocks."""
    return content if isinstance(content, str) else "".join(text_in(block) for block in objects(content))


def _document_text(block: JsonObject) -> str:
    """What the model reads of a document or a search result."""
    source = block.get("source")
    inner = text_of(source.get("data")) or plain_text(source.get("content")) if isinstance(source, dict) else ""
    if isinstance(source, dict) and source.get("type") not in ("text", "content"):
        inner = ""  # base64 or an address: no text
    return text_of(block.get("title")) + text_of(block.get("context")) + inner + plain_text(block.get("content"))


def _tools(tools: object) -> Iterator[Piece]:
    for index, tool in enumerate(objects(tools)):
        yield Piece("tools", f"tools.{index}", tool, mark=_mark(tool))


def _system(system: object) -> Iterator[Piece]:
    if isinstance(system, str) and system:
        yield Piece("system", "system", {"type": "text", "text": system})
    for index, block in enumerate(objects(system)):
        yield Piece("system", f"system.{index}", block, mark=_mark(block))


def _messages(messages: object) -> Iterator[Piece]:
    for index, message in enumerate(objects(messages)):
        role, content = text_of(message.get("role")), message.get("content")
        if isinstance(content, str):
            yield Piece("messages", f"messages.{index}.content", {"type": "text", "text": content}, role)
        for number, block in enumerate(objects(content)):
            yield Piece("messages", f"messages.{index}.content.{number}", block, role, _mark(block))


def _mark(block: JsonObject) -> str | None:
    """The breakpoint at a block, or at one inside of a tool result: it counts for the whole result."""
    inner = [mark for child in objects(block.get("content")) if (mark := _mark(child))]
    control = block.get("cache_control")
    return _ttl(control) if isinstance(control, dict) else next(iter(inner), None)


def _ttl(control: JsonObject) -> str:
    return "1h" if control.get("ttl") == "1h" else "5m"


def _is_cacheable(block: JsonObject) -> bool:
    kind = block.get("type")
    return kind not in ("thinking", "redacted_thinking") and not (kind == "text" and not block.get("text"))
