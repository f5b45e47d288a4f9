"""Which schemas each vendor takes in strict mode, in whose words it refuses, and how a value is held against one."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pydantic
import pytest
from anthropic import transform_schema
from openai.lib._pydantic import to_strict_json_schema

from grader.model.schemas import MAX_DEPTH, mismatches, not_a_schema
from grader.model.wires import anthropic_schemas, openai_schemas

TEXT = {"type": "string"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nested(levels: int) -> dict[str, Any]:
    schema = obj(leaf=TEXT)
    for _ in range(levels):
        schema = obj(inner=schema)
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """Every definition refers to the next one twice: a walk that follows each reference anew would never end."""
    defs = {f"d{n}": obj(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"}) for n in range(levels)}
    return {**obj(a={"$ref": "#/$defs/d0"}), "$defs": {**defs, f"d{levels}": TEXT}}


RECURSIVE = {
    **obj(root={"$ref": "#/$defs/Node"}),
    "$defs": {"Node": obj(children={"type": "array", "items": {"$ref": "#/$defs/Node"}})},
}


class Berth(enum.Enum):
    NORTH = "north"
    SOUTH = "south"


class Charge(pydantic.BaseModel):
    amount: float
    currency: Literal["EUR", "USD"] = "EUR"


class Shipment(pydantic.BaseModel):
    id: str
    berth: Berth | None
    charges: list[Charge]
    note: str | None = None


def test_a_value_that_satisfies_has_no_mismatch() -> None:
    assert mismatches({"a": "x"}, obj(a=TEXT)) == ()


def test_every_mismatch_has_its_place() -> None:
    schema = obj(days={"type": "array", "items": {"type": "integer"}})
    assert mismatches({"days": [1, "two"]}, schema) == ("$.days[1]: 'two' is not of type 'integer'",)
    (extra,) = mismatches({"days": [], "more": 1}, schema)
    assert "Additional properties are not allowed ('more' was unexpected)" in extra


def test_a_reference_is_never_fetched() -> None:
    (found,) = mismatches({}, {"$ref": "http://127.0.0.1:9/schema.json"})
    assert "cannot be followed" in found


def test_a_bad_schema_is_the_mismatch() -> None:
    assert "is no JSON schema" in mismatches({}, {"type": "strin"})[0]
    assert not_a_schema({"pattern": "("}) is not None
    assert not_a_schema([]) == "it is not an object"


def test_a_bottomless_schema_is_refused_unread() -> None:
    deep = nested(5 * MAX_DEPTH)
    assert "nested more than" in str(not_a_schema(deep))
    assert "exceeds limit of 10" in str(openai_schemas.strict_violation(deep))
    assert "exceeds limit of 10" in str(openai_schemas.function_violation(deep))
    assert "too complex" in str(anthropic_schemas.strict_violation(deep))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        ({"type": "array", "items": TEXT}, "got 'type: \"array\"'."),
        ({**obj(a=TEXT), "anyOf": [obj()]}, "not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"),
        (
            {"type": "object", "properties": {}},
            "In context=(), 'additionalProperties' is required to be supplied and to be false.",
        ),
        ({**obj(), "additionalProperties": True}, "'additionalProperties' is required"),
        ({**obj(a=TEXT), "required": []}, "including every key in properties. Missing 'a'."),
        ({**obj(a=TEXT), "required": ["a", "b"]}, "Extra required key 'b' supplied."),
        (obj(a={"type": "object"}), "In context=('properties', 'a'), 'additionalProperties' is required"),
        (obj(a={}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (obj(a={"type": "array"}), "In context=('properties', 'a'), array schema missing items."),
        (obj(a={"oneOf": [TEXT]}), "In context=('properties', 'a'), 'oneOf' is not permitted."),
        (obj(a={"allOf": [TEXT]}), "'allOf' is not permitted."),
        (obj(a={"type": "array", "items": TEXT, "uniqueItems": True}), "'uniqueItems' is not permitted."),
        (obj(a={"anyOf": [TEXT, {"type": "object"}]}), "In context=('properties', 'a', 'anyOf', '1'), 'additional"),
        (obj(a={**TEXT, "format": "uri"}), "'uri' is not a valid format."),
        ({**obj(a={"$ref": "#/$defs/A", "title": "x"}), "$defs": {"A": TEXT}}, "$ref cannot have keywords {'title'}."),
        (obj(a={"$ref": "#/$defs/A"}), "reference can only point to definitions defined at the top level"),
        (obj(a={"type": "strin"}), "'strin' is not valid under any of the given schemas."),
        (nested(11), "11 levels of nesting exceeds limit of 10."),
        (obj(**{f"p{n}": TEXT for n in range(5001)}), "5001 parameters exceeds limit of 5000."),
        (obj(a={**TEXT, "enum": [str(n) for n in range(1001)]}), "at most 1000 enum values in total"),
        (obj(a={**TEXT, "enum": [f"{n:060}" for n in range(260)]}), "15000 characters in an enum"),
        (obj(**{"x" * 120_001: TEXT}), "at most 120000 characters"),
    ],
)
def test_openai_refuses_in_strict_mode(schema: Any, words: str) -> None:
    assert words in str(openai_schemas.strict_violation(schema))


@pytest.mark.parametrize(
    "schema",
    [
        obj(),
        nested(10),
        RECURSIVE,
        doubling(8),
        obj(a={"type": ["string", "null"]}, b={"anyOf": [TEXT, {"type": "null"}]}),
        obj(a={"type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2}),
        obj(a={**TEXT, "pattern": "^a+$", "format": "date", "minLength": 1, "default": "x"}),
        obj(a={"type": "array", "items": TEXT, "minItems": 2, "maxItems": 9}),
        obj(allOf=TEXT, **{"not": TEXT}),
        to_strict_json_schema(Shipment),
    ],
)
def test_openai_takes_in_strict_mode(schema: Any) -> None:
    assert openai_schemas.strict_violation(schema) is None


def test_openai_looks_at_little_of_a_function_that_is_not_strict() -> None:
    assert openai_schemas.function_violation({"type": "object", "properties": {"a": {"oneOf": [TEXT]}}}) is None
    assert openai_schemas.function_violation({}) is None
    missing = openai_schemas.function_violation({"type": "object", "properties": {"a": {"type": "array"}}})
    assert missing == "In context=('properties', 'a'), array schema missing items."


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "Input should be an object"),
        ({"type": "object"}, "For 'object' type, 'additionalProperties' must be explicitly set to false"),
        ({**obj(), "additionalProperties": TEXT}, "'additionalProperties: object' is not supported"),
        (obj(a={}), "Empty schema ({})"),
        (obj(a={"title": "Anything"}), "Empty schema ({})"),
        (obj(a=True), "Empty schema ({})"),
        (obj(a={"oneOf": [TEXT]}), "Schema type 'oneOf' is not supported"),
        (obj(a={**TEXT, "not": TEXT}), "Schema keyword 'not' is not supported"),
        (obj(a={**TEXT, "anyOf": [TEXT]}), "For 'anyOf', 'type' is not supported"),
        (obj(a={"anyOf": [TEXT], "discriminator": {}}), "For 'anyOf', 'discriminator' is not supported"),
        ({**obj(a={"allOf": [{"$ref": "#/$defs/A"}]}), "$defs": {"A": TEXT}}, "For 'allOf', '$ref' is not supported"),
        (obj(a={"type": "integer", "minimum": 0}), "For 'integer' type, property 'minimum' is not supported"),
        (obj(a={**TEXT, "minLength": 1}), "For 'string' type, property 'minLength' is not supported"),
        (obj(a={**TEXT, "format": "iban"}), "'format' value 'iban' is not supported"),
        (obj(a={"type": "array", "items": TEXT, "maxItems": 3}), "For 'array' type, property 'maxItems'"),
        (obj(a={"type": "array", "items": TEXT, "minItems": 2}), "'minItems' values other than 0 or 1"),
        (obj(a={"type": "array", "prefixItems": [TEXT]}), "For 'array' type, property 'prefixItems'"),
        (obj(a={"$ref": "http://example.org/a.json"}), "is not supported: only definitions"),
        (obj(a={"type": "strin"}), "Invalid schema: 'strin' is not valid"),
        (RECURSIVE, "Circular reference detected in schema definitions: Node -> Node"),
        (obj(a={"$ref": "#"}), "Circular reference detected in schema definitions: # -> #"),
    ],
)
def test_anthropic_refuses_in_strict_mode(schema: Any, words: str) -> None:
    assert words in str(anthropic_schemas.strict_violation(schema))


@pytest.mark.parametrize(
    "schema",
    [
        obj(),
        doubling(40),
        {**obj(a=TEXT), "required": []},
        obj(a={"type": ["string", "null"], "format": "uri"}),
        obj(a={"enum": ["x", 1, None]}, b={"const": "y"}),
        obj(a={"type": "array", "items": TEXT, "minItems": 1}),
        {"type": "array", "items": TEXT},
        transform_schema(Shipment),
    ],
)
def test_anthropic_takes_in_strict_mode(schema: Any) -> None:
    assert anthropic_schemas.strict_violation(schema) is None


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([obj()] * 21, "Too many strict tools (21)"),
        ([{**obj(**{f"p{n}": TEXT for n in range(25)}), "required": []}], "too many optional parameters (25)"),
        ([obj(**{f"p{n}": {"type": ["string", "null"]} for n in range(9)})] * 2, "(18 parameters with type arrays"),
    ],
)
def test_anthropic_limits_what_a_request_has_in_all(tools: Any, words: str) -> None:
    assert words in str(anthropic_schemas.too_complex(tools))


def test_anthropic_counts_the_output_format_too() -> None:
    tool = {**obj(**{f"p{n}": TEXT for n in range(20)}), "required": []}
    output = {**obj(**{f"p{n}": TEXT for n in range(5)}), "required": []}
    assert anthropic_schemas.too_complex([tool]) is None
    assert "(25)" in str(anthropic_schemas.too_complex([tool], output))
