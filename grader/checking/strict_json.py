"""Reads JSON from a stranger: what other readers would understand differently, or choke on, is refused."""

from __future__ import annotations

import json
import math
from typing import Any


def read_json(data: bytes | str) -> Any:
    """The value of a UTF-8 JSON text.

    Raises:
        ValueError: it is not JSON (NaN is not), has a key twice, is nested too deeply, or holds a number that no
            double can hold.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_int=_integer, parse_float=_number, object_pairs_hook=_object
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    _number(digits)
    return int(digits)


def _number(digits: str) -> float:
    # A check that computes with what it reads must not break on it.
    if math.isinf(value := float(digits)):
        raise ValueError(f"the number {digits[:20]}… of {len(digits)} digits is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One reader takes the first of two equal keys, another the last: neither is promised."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found
