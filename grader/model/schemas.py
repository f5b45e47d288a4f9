"""Holds a value against a JSON schema that a program sent, and walks such a schema whoever wrote it."""

# ruff: noqa: PLC0415  jsonschema takes longer to import than the double takes to start; most requests bring no schema

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

Path = tuple[str, ...]
# A document deeper than this is refused unread: no body of a request is, and walking it must not overflow.
MAX_DEPTH = 64
BOTTOMLESS = f"it is nested more than {MAX_DEPTH} levels deep"
SHOWN_MISMATCHES = 5
# Keywords whose value is one schema, a list of schemas, or schemas by name.
ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def mismatches(value: object, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """What a JSON schema has against a value, each with its place: `$.days: 'three' is not of type 'integer'`.

    A schema that cannot be used at all (no JSON schema, a reference to nowhere) is itself the mismatch.
    """
    if too_deep(schema):
        return (f"the schema is no JSON schema: {BOTTOMLESS}",)
    validator = _validator(json.dumps(schema))
    if isinstance(validator, str):
        return (f"the schema is no JSON schema: {validator}",)
    try:
        found = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
    except Exception as error:  # noqa: BLE001  the library has many ways to say that a reference leads nowhere
        return (f"the schema cannot be followed: {error}",)
    return tuple(f"{_place(error.absolute_path)}: {error.message}" for error in found[:SHOWN_MISMATCHES])


def not_a_schema(schema: object) -> str | None:
    """Why the JSON Schema standard (2020-12) would not call this a schema, in the library's words."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if too_deep(schema):
        return BOTTOMLESS
    if not isinstance(schema, dict):
        return "it is not an object"
    try:
        Draft202012Validator.check_schema(schema, format_checker=_regexes())
    except SchemaError as error:
        return str(error.message)
    return None


def load() -> None:
    """Imports the library now; called in a thread when the double starts."""
    import jsonschema  # noqa: F401  for the next one who wants it
    import referencing  # noqa: F401


def too_deep(value: object) -> bool:
    """Whether a JSON value is nested more than MAX_DEPTH levels; the same schema keyword and its value are two."""
    level: list[object] = [value]
    for _ in range(2 * MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return False
    return True


def subschemas(schema: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every schema inside a schema with its path, the schema itself first; references are not followed."""
    yield path, schema
    for keyword, value in schema.items():
        for step, child in _children(keyword, value):
            if isinstance(child, dict):
                yield from subschemas(child, (*path, *step))
            elif keyword != "additionalProperties":
                yield (*path, *step), child


def resolve(root: Mapping[str, Any], reference: object) -> Any:
    """What a reference within the document points to (`#`, `#/$defs/Name`), or None."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    target: Any = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or name not in target:
            return None
        target = target[name]
    return target


def _children(keyword: str, value: object) -> Iterator[tuple[Path, Any]]:
    if keyword in ONE:
        yield (keyword,), value
    elif keyword in MANY and isinstance(value, list):
        yield from (((keyword, str(index)), child) for index, child in enumerate(value))
    elif keyword in NAMED and isinstance(value, dict):
        yield from (((keyword, name), child) for name, child in value.items())


@lru_cache(maxsize=256)
def _validator(written: str) -> Draft202012Validator | str:
    """A validator of a schema, or why it is none; programs send the same schemas over and over.

    It never fetches: by itself the library would ask the network for an unknown reference.
    """
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema = json.loads(written)
    complaint = not_a_schema(schema)
    if complaint is not None:
        return complaint
    return Draft202012Validator(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)


@lru_cache(maxsize=1)
def _regexes() -> Any:
    """Lets the check of a schema look at its patterns too."""
    from jsonschema import FormatChecker

    return FormatChecker(formats=("regex",))


def _place(path: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
