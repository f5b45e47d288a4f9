"""Exchanges as lines of JSON, and back: the form in which they are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from grader.model.journal import Block, CacheMark, Exchange, Message, Request, Tool
from grader.model.script import ToolCall


def to_json(exchanges: tuple[Exchange, ...]) -> str:
    """One ASCII JSON object a line, for the file that `grader wire` reads: a lone surrogate must not break the file."""
    return "".join(json.dumps(_plain(exchange)) + "\n" for exchange in exchanges)


def from_json(text: str) -> tuple[Exchange, ...]:
    """The exchanges that `to_json` wrote."""
    return tuple(_exchange(json.loads(line)) for line in text.splitlines() if line.strip())


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _exchange(record: dict[str, Any]) -> Exchange:
    calls = tuple(ToolCall(**call) for call in record["tool_calls"])
    return Exchange(**{**record, "request": _request(record["request"]), "tool_calls": calls})


def _request(record: dict[str, Any]) -> Request:
    choice = record["tool_choice"]
    return Request(
        **{
            **record,
            "messages": tuple(
                Message(message["role"], tuple(Block(**block) for block in message["blocks"]))
                for message in record["messages"]
            ),
            "tools": tuple(Tool(**tool) for tool in record["tools"]),
            "tool_choice": ("tool", choice[1]) if isinstance(choice, list) else choice,
            "inputs": tuple(record["inputs"]),
            "cache_marks": tuple(CacheMark(**mark) for mark in record.get("cache_marks", ())),
        }
    )
