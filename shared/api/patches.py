"""The body of a merge patch (RFC 7396), described: every field of the object may be left out, and null resets it."""

from typing import Any

_PREFIX = "#/components/schemas/"
_LEFT_OUT = ("default", "title")


def add_patch(name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the patch of a described object, which is added to the schemas, with those of objects inside it."""
    patch = f"{name}Patch"
    if patch not in schemas:
        whole = schemas[name]
        schemas[patch] = {}  # an object may hold one of its own kind
        schemas[patch] = {
            "type": "object",
            "description": f"Fields of {name} to change; null resets a field.",
            "additionalProperties": False,
            "properties": {field: _field(value, schemas) for field, value in whole["properties"].items()},
        }
    return {"$ref": f"{_PREFIX}{patch}"}


def _field(value: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    plain = {key: part for key, part in value.items() if key not in (*_LEFT_OUT, "description")}
    name = str(plain.get("$ref", "")).removeprefix(_PREFIX)
    if name and "properties" in schemas[name]:
        plain = add_patch(name, schemas)
    options = plain["anyOf"] if set(plain) == {"anyOf"} else [plain]
    if {"type": "null"} not in options:
        options = [*options, {"type": "null"}]
    return {"anyOf": options} | ({"description": value["description"]} if "description" in value else {})
