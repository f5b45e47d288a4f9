"""Holds our own replies against the pydantic types of the official SDKs; as slow to import as they are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter, ValidationError

from grader.model.journal import WireName
from grader.model.wires.wire import Answer, JsonObject


def violations(wire: WireName, answer: Answer) -> tuple[str, ...]:
    """What the SDK's types say against a reply: a wrong or missing field, or one that they do not know."""
    found: list[str] = []
    if answer.body is not None and not _has_packed_vectors(answer.body):
        found += _against(_body_type(wire), answer.body)
    for event in answer.events:
        if event.get("type") != "ping":  # documented, and dropped by the SDK before it looks at types
            found += _against(_event_type(wire), event)
    return tuple(found)


def _has_packed_vectors(body: JsonObject) -> bool:
    """The SDK asks for base64 and unpacks it, but its type for the reply says list of floats only."""
    return body.get("object") == "list" and any(isinstance(row["embedding"], str) for row in body["data"])


def _against(kind: TypeAdapter[Any], payload: JsonObject) -> Iterator[str]:
    try:
        value = kind.validate_python(payload, strict=True)
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
def _body_type(wire: WireName) -> TypeAdapter[Any]:
    types = {"anthropic": Message, "openai-chat": ChatCompletion, "openai-embeddings": CreateEmbeddingResponse}
    return TypeAdapter(types[wire])


@cache
def _event_type(wire: WireName) -> TypeAdapter[Any]:
    return TypeAdapter(RawMessageStreamEvent if wire == "anthropic" else ChatCompletionChunk)
