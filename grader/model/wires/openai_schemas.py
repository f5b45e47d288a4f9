"""Which JSON schemas OpenAI takes for strict output and strict functions, and its words for those it refuses.

The subset: developers.openai.com/api/docs/guides/structured-outputs#supported-schemas. The words: errors that the live
API is known for. `default`, `minLength` and `maxLength` are on no list of the guide and taken by today's models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from grader.model.schemas import Path, not_a_schema, resolve, subschemas, too_deep

FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
NOT_PERMITTED = (
    "allOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "minProperties",
    "maxProperties",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
)
NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "enum", "not")
MAX_LEVELS = 10
MAX_PROPERTIES = 5000
MAX_ENUM_VALUES = 1000
MAX_CHARACTERS = 120_000
# An enum of more than so many strings may hold only so many characters.
LARGE_ENUM = 250
LARGE_ENUM_CHARACTERS = 15_000


def function_violation(schema: object) -> str | None:
    """What is wrong with the parameters of a function that is not strict: very little is looked at."""
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return _not_object(schema)
    if too_deep(schema):
        return f"more than {MAX_LEVELS} levels of nesting exceeds limit of {MAX_LEVELS}."
    for path, node in subschemas(schema):
        if isinstance(node, dict) and node.get("type") == "array" and "items" not in node:
            return f"In context={path}, array schema missing items."
    return None


def strict_violation(schema: object) -> str | None:
    """The first rule of strict mode that a schema breaks, in the vendor's words, or None."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return _not_object(schema)
    if any(keyword in schema for keyword in NOT_AT_THE_TOP):
        words = "/".join(f"'{keyword}'" for keyword in NOT_AT_THE_TOP)
        return f"schema must have type 'object' and not have {words} at the top level."
    if too_deep(schema):
        return f"more than {MAX_LEVELS} levels of nesting exceeds limit of {MAX_LEVELS}."
    complaint = not_a_schema(schema)
    if complaint is not None:
        return f"{complaint}."
    for path, node in subschemas(schema):
        complaint = _of_node(node, schema)
        if complaint is not None:
            return f"In context={path}, {complaint}."
    return next(_too_large(schema), None)


def _not_object(schema: object) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."


def _of_node(node: object, root: Mapping[str, Any]) -> str | None:
    """The first thing wrong with one schema, whatever is around it."""
    if not isinstance(node, dict):
        return "schema must have a 'type' key"
    return _of_reference(node, root) if "$ref" in node else next(_of_type(node), None)


def _of_type(node: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"'{keyword}' is not permitted" for keyword in NOT_PERMITTED if keyword in node)
    if not any(keyword in node for keyword in ("type", "anyOf", "enum", "const")):
        yield "schema must have a 'type' key"
    kinds = node["type"] if isinstance(node.get("type"), list) else [node.get("type")]
    if "object" in kinds:
        yield from _of_object(node)
    if "array" in kinds and not isinstance(node.get("items"), dict):
        yield "array schema missing items"
    if "format" in node and node["format"] not in FORMATS:
        yield f"'{node['format']}' is not a valid format"


def _of_reference(node: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    beside = {keyword for keyword in node if keyword not in ("$ref", "$defs", "definitions")}
    if beside:
        return f"$ref cannot have keywords {{{', '.join(repr(word) for word in sorted(beside))}}}"
    if not isinstance(resolve(root, node["$ref"]), dict):
        return "reference can only point to definitions defined at the top level of the schema"
    return None


def _of_object(node: Mapping[str, Any]) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false"
    properties, required = node.get("properties", {}), node.get("required", [])
    for name in properties:
        if name not in required:
            every = "'required' is required to be supplied and to be an array including every key in properties."
            yield f"{every} Missing '{name}'"
    yield from (
        f"'required' is invalid. Extra required key '{name}' supplied" for name in required if name not in properties
    )


def _too_large(schema: Mapping[str, Any]) -> Iterator[str]:
    levels = _Levels(schema).below(schema)
    if levels > MAX_LEVELS:
        yield f"{levels} levels of nesting exceeds limit of {MAX_LEVELS}."
    nodes = [node for _, node in subschemas(schema)]
    properties = sum(len(node.get("properties", {})) for node in nodes)
    if properties > MAX_PROPERTIES:
        yield f"{properties} parameters exceeds limit of {MAX_PROPERTIES}."
    enums = [node["enum"] for node in nodes if "enum" in node]
    values = sum(len(enum) for enum in enums)
    if values > MAX_ENUM_VALUES:
        yield (
            f"Expected at most {MAX_ENUM_VALUES} enum values in total within a single schema when using structured "
            f"outputs, but received {values}. Consider reducing the number of enums, or use 'strict: false' to opt out "
            "of structured outputs."
        )
    for enum in enums:
        characters = sum(len(value) for value in enum if isinstance(value, str))
        if len(enum) > LARGE_ENUM and characters > LARGE_ENUM_CHARACTERS:
            yield (
                f"Expected at most {LARGE_ENUM_CHARACTERS} characters in an enum of more than {LARGE_ENUM} values, but "
                f"received {characters}."
            )
    characters = sum(len(word) for node in nodes for word in _words(node))
    if characters > MAX_CHARACTERS:
        yield f"Expected at most {MAX_CHARACTERS} characters of names and values, but received {characters}."


def _words(node: Mapping[str, Any]) -> Iterator[str]:
    """What counts towards the limit of characters: names of properties and definitions, enum and const values."""
    for keyword in ("properties", "$defs", "definitions"):
        yield from node.get(keyword, {})
    yield from (value for value in (*node.get("enum", ()), node.get("const")) if isinstance(value, str))


class _Levels:
    """How many objects and arrays lie inside one another; a recursive reference counts once."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}

    def below(self, node: Mapping[str, Any]) -> int:
        """The levels below a schema; a reference that is being followed already has none."""
        if "$ref" in node:
            reference = node["$ref"]
            if reference not in self._known:
                self._known[reference] = 0
                self._known[reference] = self.below(resolve(self._root, reference))
            return self._known[reference]
        children = [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]
        return max(
            (
                *(self.below(variant) for variant in node.get("anyOf", ())),
                *(self.below(child) + self._is_container(child, ()) for child in children),
            ),
            default=0,
        )

    def _is_container(self, node: Mapping[str, Any], followed: Path) -> bool:
        if "$ref" in node:
            reference = node["$ref"]
            known = reference in followed
            return not known and self._is_container(resolve(self._root, reference), (*followed, reference))
        kinds = node["type"] if isinstance(node.get("type"), list) else [node.get("type")]
        return bool({"object", "array"} & set(kinds)) or any(
            self._is_container(variant, followed) for variant in node.get("anyOf", ())
        )
