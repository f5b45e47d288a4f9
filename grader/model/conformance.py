"""Holds our own replies against the pydantic types of the official SDKs; as slow to import as they are."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from grader.model.wires.wire import Answer, JsonObject, Wire, encoded


def violations(wire: Wire, answer: Answer) -> tuple[str, ...]:
    """What the SDK's types say against a reply: a wrong or missing field, or one that they do not know."""
    found: list[str] = []
    bodies = answer.lines if answer.body is None else (answer.body,)
    for body in bodies:
        reply_type = answer.reply_type or wire.reply_type
        if reply_type and not _has_packed_vectors(body):
            found += _against(_type(reply_type), body)
    for event in answer.events:
        if event.get("type") != "ping":  # documented, and dropped by the SDK before it looks at types
            found += _against(_type(answer.event_type or wire.event_type), event)
    return tuple(found)


def _has_packed_vectors(body: JsonObject) -> bool:
    """The SDK asks for base64 and unpacks it, but its type for the reply says list of floats only."""
    return body.get("object") == "list" and any(isinstance(row.get("embedding"), str) for row in body["data"])


def _against(kind: TypeAdapter[Any], payload: JsonObject) -> Iterator[str]:
    try:
        value = kind.validate_json(encoded(payload), strict=True)
    except ValidationError as error:
        yield from (f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
    else:
        yield from _unknown_fields(value, "")


def _unknown_fields(value: object, place: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{place}{name}: the SDK knows no such field" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _unknown_fields(getattr(value, name), f"{place}{name}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_fields(item, f"{place}{index}.")


@cache
def _type(named: str) -> TypeAdapter[Any]:
    return TypeAdapter(_looked_up(named))


def _looked_up(named: str) -> Any:
    """`module:name`, or `module:name[module:name]` for a generic type."""
    outer, _, inner = named.partition("[")
    module, _, name = outer.partition(":")
    found = getattr(importlib.import_module(module), name)
    return found[_looked_up(inner.removesuffix("]"))] if inner else found
