"""Shows what changed between two requests, and where the part ends that a provider's prompt cache can reuse."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping

from grader.model.journal import Block, Exchange, Request
from grader.model.prompt_prefix import Parting, parting

Line = tuple[str, str]  # text, style
STYLES = {"+": "green", "-": "red", "@": "cyan"}
CONTEXT = 2  # unchanged lines around a change


def diff_lines(before: Exchange, after: Exchange, names: tuple[str, str]) -> Iterator[Line]:
    """The lines of a comparison with their styles; `names` are what the exchanges are called, as in "#3"."""
    old, new = before.request, after.request
    yield f"{names[0]} → {names[1]}", "bold"
    changed = False
    for title, was, now in _sections(old, new):
        lines = list(difflib.unified_diff(was, now, lineterm="", n=CONTEXT))[2:]
        if lines:
            changed = True
            yield f"  {title}", "bold"
            yield from ((f"    {line}", STYLES.get(line[:1], "dim")) for line in lines)
    if not changed:
        yield "  nothing that the model reads has changed", "dim"
    yield from _prefix(parting(old, new), names)


def _sections(old: Request, new: Request) -> Iterator[tuple[str, list[str], list[str]]]:
    yield "settings", _settings(old), _settings(new)
    yield "tools", _tools(old), _tools(new)
    yield "system", old.system.splitlines(), new.system.splitlines()
    yield "messages", _messages(old), _messages(new)
    yield "inputs", list(old.inputs), list(new.inputs)


def _settings(request: Request) -> list[str]:
    """Everything in the body that is not prompt, one a line."""
    prompt = {"tools", "system", "instructions", "messages", "input"}
    rest = {key: value for key, value in request.body.items() if key not in prompt}
    return [f"path: {request.path}", *(f"{key}: {_json(value)}" for key, value in sorted(rest.items()))]


def _tools(request: Request) -> list[str]:
    return [
        line
        for tool in request.tools
        for line in (f"{tool.name}: {tool.description}", *json.dumps(tool.schema, indent=2).splitlines())
    ]


def _messages(request: Request) -> list[str]:
    return [
        f"{message.role}: {line}"
        for message in request.messages
        for block in message.blocks
        for line in _words(block).splitlines()
    ]


def _words(block: Block) -> str:
    match block.kind:
        case "text":
            return block.text
        case "tool_use":
            return f"calls {block.name}({_json(block.arguments)}) [{block.id}]"
        case "tool_result":
            return f"result of [{block.id}]: {block.text}"
        case kind:
            return f"({kind}) {block.text}"


def _prefix(found: Parting, names: tuple[str, str]) -> Iterator[Line]:
    shared = f"{found.characters:,} characters (about {found.tokens:,} of {found.tokens_after:,} tokens of {names[1]})"
    if not found.place:
        which = "the prompts are the same" if found.before == found.after else "one prompt goes on where the other ends"
        yield f"  byte-stable prefix: {shared}: {which}", "bold"
    else:
        yield f"  byte-stable prefix: {shared}; it ends in {found.place}:", "bold"
        yield f"    - {found.was}", "red"
        yield f"    + {found.now}", "green"
    for place, life, kept in found.marks:
        if kept:
            yield f"    cache mark at {place} ({life}): inside the stable prefix, can be read again", "green"
        else:
            yield f"    cache mark at {place} ({life}): behind the change, has to be written anew", "red"
    if not found.marks:
        yield "    no cache marks in the second request", "dim"


def _json(value: Mapping[str, object] | object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
