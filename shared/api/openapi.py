"""OpenAPI 3.1, derived from the route table and its models."""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from shared.api import cursors
from shared.api.patches import add_patch
from shared.api.routes import Route, RouteTable
from shared.api.surfaces import JSON

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable, `remedy` says what to do next, `errors` names every bad field.",
    "required": ["type", "title", "status", "detail", "code", "remedy", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "remedy": {"type": "string"},
        "requestId": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "message")},
            },
        },
    },
}


def _schemas(routes: list[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        for model in (route.query, route.body):
            if model is not None:
                wanted[model, "validation"] = None
        for model in (route.returns, *route.or_items, *(model for _, model, _ in route.also)):
            if model is not None:
                wanted[model, "serialization"] = None
    refs, definitions = models_json_schema(list(wanted), ref_template=_REF, schema_generator=GenerateJsonSchema)
    return refs, definitions.get("$defs", {})


@lru_cache(4)
def document(table: RouteTable) -> dict[str, Any]:
    """The whole description of the JSON surface; made once per table."""
    routes = table.on(JSON)
    refs, schemas = _schemas(routes)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(f"/{route.address}", {})[route.method.lower()] = _operation(route, refs, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall",
            "version": "1",
            "description": "A complete, current and explainable copy of your Microsoft directories. Times are UTC, "
            "ISO 8601; ids are opaque. Secrets are write-only.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "securitySchemes": {"entra": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"entra": []}],
    }


def _operation(route: Route, refs: dict[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route, refs, schemas),
        "responses": {
            str(route.status): _success(route, refs),
            **_others(route, refs),
            "default": {
                "description": "A problem, with its code and remedy.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    if route.handler.__doc__:
        operation["description"] = route.handler.__doc__
    if route.role is None:
        operation["security"] = []
    else:
        operation["x-app-role"] = route.role.value
    if route.body is not None:
        schema = refs[route.body, "validation"]
        if route.merge_patch:
            schema = add_patch(_name(schema), schemas)
        kinds = ["application/merge-patch+json"] if route.merge_patch else []
        content = {kind: {"schema": schema} for kind in [*kinds, "application/json"]}
        operation["requestBody"] = {"required": True, "content": content}
        if route.merge_patch:
            operation["requestBody"]["description"] = "Fields of the object to change (RFC 7396); null resets a field."
    if route.upload:
        binary = {"type": "string", "format": "binary"}
        content = {kind: {"schema": binary} for kind in route.upload}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _name(ref: dict[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _others(route: Route, refs: dict[Any, Any]) -> dict[str, Any]:
    """Good answers beside the usual one; where that has the same status too, one of several shapes."""
    found: dict[str, Any] = {}
    usual = [(route.status, route.returns, route.summary)] if route.returns else []
    for status in dict.fromkeys(status for status, _, _ in route.also):
        same = [(model, text) for one, model, text in [*usual, *route.also] if one == status and model]
        shapes = [refs[model, "serialization"] for model, _ in same]
        schema = {"anyOf": shapes} if len(shapes) > 1 else shapes[0]
        found[str(status)] = _answer("; or: ".join(text for _, text in same), schema)
    return found


def _parameters(route: Route, refs: dict[Any, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters
    ]
    if route.needs_if_match:
        text = "The ETag that was read, or * to overwrite whatever is there."
        parameters.append(
            {"name": "If-Match", "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        )
    if route.method == "POST" and route.body is None and not route.upload:
        text = "Any value. Needed without a bearer token and without a JSON body: no form of another site can send it."
        parameters.append(
            {
                "name": "X-Requested-With",
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
            }
        )
    if route.method == "POST":
        text = "Any text of your own, such as a GUID. Sent again with the same one, the request is done once."
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": text,
                "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,200}$"},
            }
        )
    if route.query is not None:
        schema = schemas[_name(refs[route.query, "validation"])]
        for name, field in schema["properties"].items():
            rest = {key: value for key, value in field.items() if key not in ("description", "title")}
            if route.returns_list and name == "after":
                rest = {"type": "string", "pattern": cursors.FORM}
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in schema.get("required", ()),
                    "description": field.get("description", ""),
                    "schema": rest,
                }
            )
    return parameters


def _answer(text: str, schema: dict[str, Any], content_type: str = "application/json") -> dict[str, Any]:
    return {"description": f"{text}.", "content": {content_type: {"schema": schema}}}


def _success(route: Route, refs: dict[Any, Any]) -> dict[str, Any]:
    if route.status == 204:
        return {"description": "Done."}
    if route.returns is None:
        schema: dict[str, Any] = {"type": "object"} if route.content_type == "application/json" else {"type": "string"}
    elif route.returns_list:
        shapes = [refs[model, "serialization"] for model in (route.returns, *route.or_items)]
        items = {"type": "array", "items": {"anyOf": shapes} if route.or_items else shapes[0]}
        following = {
            "type": ["string", "null"],
            "description": "Pass it as `after` to get the next page. null: this is the last page.",
        }
        schema = {"type": "object", "required": ["items", "next"], "properties": {"items": items, "next": following}}
    else:
        schema = refs[route.returns, "serialization"]
    made = _answer(route.summary, schema, route.content_type)
    made["content"] |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.files}
    return made
