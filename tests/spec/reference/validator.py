"""Enough of JSON Schema to check a spec by ours: what a value breaks, as sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "anyOf", "const", "default", "description",
    "else", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "if", "items", "maxItems",
    "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "oneOf", "pattern", "patternProperties", "prefixItems", "properties", "propertyNames",
    "required", "then", "title", "type", "x-hpo-recompiles", "x-hpo-varies",
}  # fmt: skip


def broken(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every rule of a schema that a value breaks; a keyword that this does not know fails."""
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        yield from broken(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    for keyword, counts in (("anyOf", range(1, 99)), ("oneOf", (1,))):
        fitting = [s for s in schema.get(keyword, ()) if not any(broken(value, s, root, at))]
        if keyword in schema and len(fitting) not in counts:
            yield f"{at}: {len(fitting)} of {keyword} fit {value!r}"
    if "if" in schema:
        branch = "else" if any(broken(value, schema["if"], root, at)) else "then"
        yield from broken(value, schema.get(branch, {}), root, at)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{at}: {value!r} is not of type {kinds}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    elif "const" in schema and value != schema["const"]:
        yield f"{at}: {value!r} is not {schema['const']!r}"
    elif isinstance(value, dict):
        yield from _object(value, schema, root, at)
    elif isinstance(value, list):
        yield from _size(len(value), schema, "Items", at)
        for index, item in enumerate(value):
            yield from broken(item, _item(schema, index), root, f"{at}[{index}]")
    elif isinstance(value, str):
        yield from _size(len(value), schema, "Length", at)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at}: {value!r} does not match {schema['pattern']}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, at)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _object(value: dict[str, Any], schema: dict[str, Any], root: Any, at: str) -> Iterator[str]:
    yield from _size(len(value), schema, "Properties", at)
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}.{name}: is missing"
    for name, inner in value.items():
        patterns = schema.get("patternProperties", {}).items()
        rule = properties.get(name, next((r for p, r in patterns if re.search(p, name)), others))
        yield from broken(name, schema.get("propertyNames", {}), root, f"{at}.{name}")
        if rule is False:
            yield f"{at}.{name}: is unknown"
        elif isinstance(rule, dict):
            yield from broken(inner, rule, root, f"{at}.{name}")


def _size(size: int, schema: dict[str, Any], noun: str, at: str) -> Iterator[str]:
    if not schema.get(f"min{noun}", 0) <= size <= schema.get(f"max{noun}", size):
        yield f"{at}: has the wrong size {size}"


def _number(value: float, schema: dict[str, Any], at: str) -> Iterator[str]:
    is_inside = (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )
    if not is_inside:
        yield f"{at}: {value!r} is out of range"


def _item(schema: dict[str, Any], index: int) -> dict[str, Any]:
    """The schema of the item in a place of a list."""
    first: list[dict[str, Any]] = schema.get("prefixItems", [])
    rest: dict[str, Any] = schema.get("items", {})
    return first[index] if index < len(first) else rest
