"""Which JSON schemas Anthropic takes for `output_config.format` and strict tools, and its words for those it refuses.

The subset: platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations and what the SDK's
`transform_schema` lets through. The words: errors that the live API is known for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from grader.model.schemas import not_a_schema, resolve, subschemas, too_deep

FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$defs", "definitions"})
OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format", "pattern"}),
    "integer": frozenset(),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
MAX_STRICT_TOOLS = 20
MAX_OPTIONAL = 24
MAX_UNIONS = 16


def strict_violation(schema: object) -> str | None:
    """The first rule of strict mode that one schema breaks, in the vendor's words, or None."""
    if not isinstance(schema, dict):
        return "Input should be an object"
    if too_deep(schema):
        return "Schema is too complex for compilation."
    complaint = not_a_schema(schema)
    if complaint is not None:
        return f"Invalid schema: {complaint}"
    for _, node in subschemas(schema):
        complaint = next(_of_node(node, schema), None)
        if complaint is not None:
            return complaint
    return _cycle(schema)


def too_complex(tools: Sequence[Mapping[str, Any]], output: Mapping[str, Any] | None = None) -> str | None:
    """What all strict tools of a request and its output format have too much of, taken together, or None."""
    if len(tools) > MAX_STRICT_TOOLS:
        return (
            f"Too many strict tools ({len(tools)}). The maximum number of strict tools supported is {MAX_STRICT_TOOLS}."
        )
    nodes = [node for schema in (*tools, *([output] if output else ())) for _, node in subschemas(schema)]
    properties = [(name, node) for node in nodes if isinstance(node, dict) for name in node.get("properties", {})]
    optional = sum(name not in node.get("required", ()) for name, node in properties)
    if optional > MAX_OPTIONAL:
        return (
            f"Schemas contains too many optional parameters ({optional}), which would make grammar compilation "
            f"inefficient. Reduce the number of optional parameters in your tool schemas (limit: {MAX_OPTIONAL})."
        )
    unions = sum(_is_union(node["properties"][name]) for name, node in properties)
    if unions > MAX_UNIONS:
        return (
            f"Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf). "
            "This causes exponential compilation cost. Reduce the number of nullable or union-typed parameters "
            f"(limit: {MAX_UNIONS} parameters with unions)."
        )
    return None


def _is_union(node: object) -> bool:
    return isinstance(node, dict) and ("anyOf" in node or isinstance(node.get("type"), list))


def _of_node(node: object, root: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(node, dict) or not set(node) - ANNOTATIONS:
        yield "Empty schema ({}) that accepts any JSON value is not supported."
        return
    if "oneOf" in node:
        yield "Schema type 'oneOf' is not supported"
    if "not" in node:
        yield "Schema keyword 'not' is not supported"
    if "$ref" in node:
        if not isinstance(resolve(root, node["$ref"]), dict):
            yield f"Reference '{node['$ref']}' is not supported: only definitions of this schema are"
        return
    combination = next((keyword for keyword in ("anyOf", "allOf") if keyword in node), None)
    if combination is not None:
        yield from _of_combination(node, combination)
        return
    kinds = node["type"] if isinstance(node.get("type"), list) else [node["type"]] if "type" in node else []
    known = set().union(*(OF_TYPE.get(kind, frozenset()) for kind in kinds))
    for kind in kinds:
        yield from _of_type(node, kind, known)


def _of_combination(node: Mapping[str, Any], keyword: str) -> Iterator[str]:
    beside = sorted(set(node) - ANNOTATIONS - {keyword})
    if beside:
        yield f"For '{keyword}', '{', '.join(beside)}' is not supported"
    if keyword == "allOf" and any(isinstance(branch, dict) and "$ref" in branch for branch in node["allOf"]):
        yield "For 'allOf', '$ref' is not supported"


def _of_type(node: Mapping[str, Any], kind: str, known: set[str]) -> Iterator[str]:
    for word in node:
        if word not in known | ANNOTATIONS | {"type", "enum", "const"}:
            yield f"For '{kind}' type, property '{word}' is not supported"
    if kind == "object" and isinstance(node.get("additionalProperties"), dict):
        rule = "For 'object' type, 'additionalProperties: object' is not supported."
        yield f"{rule} Please set 'additionalProperties' to false"
    if kind == "object" and node.get("additionalProperties") is not False:
        yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
    if kind == "array" and node.get("minItems", 0) not in (0, 1):
        yield "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if kind == "string" and "format" in node and node["format"] not in FORMATS:
        yield f"For 'string' type, 'format' value '{node['format']}' is not supported"


def _cycle(root: Mapping[str, Any]) -> str | None:
    """A definition that contains itself, however far down, with the way back to it."""
    done: set[str] = set()

    def back(reference: str, way: tuple[str, ...]) -> tuple[str, ...] | None:
        if reference in way:
            return (*way[way.index(reference) :], reference)
        if reference in done:
            return None
        done.add(reference)
        ways = (back(inner, (*way, reference)) for inner in _references(resolve(root, reference)))
        return next((found for found in ways if found is not None), None)

    found = back("#", ())
    if found is None:
        return None
    names = " -> ".join(reference.rsplit("/", 1)[-1] for reference in found)
    return f"Circular reference detected in schema definitions: {names}"


def _references(node: Mapping[str, Any]) -> list[str]:
    return [inner["$ref"] for _, inner in subschemas(node) if isinstance(inner, dict) and "$ref" in inner]
