"""The API's description as one readable page: no scripts, nothing from another host."""

import json
from functools import lru_cache
from html import escape
from typing import Any

from shared.api.openapi import document
from shared.api.routes import RouteTable

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
h1,h2{line-height:1.2}code{font:13px ui-monospace,monospace}table{border-collapse:collapse;width:100%;margin:.5rem 0 1rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #8884}
details{margin:.4rem 0;border:1px solid #8884;border-radius:6px;padding:.4rem .8rem}summary{cursor:pointer}
.method{display:inline-block;min-width:4rem;font-weight:600}.role{float:right;opacity:.7;font-size:13px}
"""


@lru_cache(4)
def page(table: RouteTable) -> str:
    """HTML, made once a table."""
    described = document(table)
    tags: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation["tags"][0], []).append(_operation(method, path, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(entries)}" for tag, entries in tags.items())
    schemas = "".join(_schema(name, schema) for name, schema in sorted(described["components"]["schemas"].items()))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Rollcall API</title><style>{_STYLE}</style>'
        f"<h1>Rollcall API</h1><p>{escape(described['info']['description'])} "
        'The same as data: <a href="openapi.json">openapi.json</a>.</p>'
        f"{body}<h2>Models</h2>{schemas}</html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}{', required' if p['required'] else ''}{_default(p['schema'])}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in operation["parameters"]
    )
    sent = ""
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        whole = content.get("application/json")
        sent = f"<p>Sends {_type(whole['schema']) if whole else 'a file: ' + escape(' or '.join(content))}.</p>"
    answers = "".join(
        f"<p>{status}: {', '.join(_type(c['schema']) for c in answer.get('content', {}).values()) or answer['description']}</p>"
        for status, answer in operation["responses"].items()
    )
    role = f'<span class="role">{escape(operation.get("x-app-role", "everybody"))}</span>'
    text = escape(operation.get("description", ""))
    return (
        f'<details><summary>{role}<span class="method">{method.upper()}</span> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><p>{text}</p>"
        f"{f'<table>{rows}</table>' if rows else ''}{sent}{answers}</details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(value)}{', required' if field in required else ''}"
        f"{_default(value)}</td>"
        f"<td>{escape(value.get('description', ''))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    )
    values = ", ".join(f"<code>{escape(str(v))}</code>" for v in schema.get("enum", ()))
    description = escape(schema.get("description", ""))
    # The anchor stands inside, so that following a link opens the box.
    inside = f'<div id="{name}">{values}<table>{rows}</table></div>'
    return f"<details><summary><code>{name}</code> {description}</summary>{inside}</details>"


def _default(schema: dict[str, Any]) -> str:
    if "default" not in schema or schema["default"] is None:
        return ""
    return f", default <code>{escape(json.dumps(schema['default']))}</code>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(v))}</code>" for v in schema["enum"])
    if "properties" in schema and "items" in schema["properties"]:
        return f"a page of {_type(schema['properties']['items']['items'])}"
    kind = schema.get("type", "any")
    return escape(schema.get("format") or (" or ".join(kind) if isinstance(kind, list) else str(kind)))
