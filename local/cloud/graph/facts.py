"""Whether a request is one that Microsoft describes: path, method, query options and their values, headers, body, and each
request inside a batch.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from local.cloud.graph import options
from local.cloud.graph.make_facts import FILE

VERSION = "/v1.0"
_BATCH = f"{VERSION}/$batch"
_MOST_IN_BATCH = 20
_PART_KEYS = frozenset("id method url headers body dependsOn".split())
_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
_SOME_ID = "00000000-0000-0000-0000-000000000000"
_TOKEN = re.compile(r"((?:\$|%24)(?:skip|delta)token=)[^&]+")


class Facts:
    """The file's content, ready to look things up."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self.sets = {name: frozenset(names) for name, names in data["sets"].items()}
        self.permissions = frozenset(data["permissions"])
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for key, operation in data["operations"].items():
            method, _, template = key.partition(" ")
            found.setdefault(template, {})[method] = operation
        # Literal addresses before those with a place for an id.
        templates = sorted(found, key=lambda template: (template.count("{}"), -len(template)))
        self._paths = [(_pattern(template), found[template]) for template in templates]
        self._verdict = lru_cache(4096)(self._judge)

    def extended(self, operations: Mapping[str, Any], sets: Mapping[str, list[str]] | None = None) -> "Facts":
        """These facts and some more, in the shape of the file: for a kind that is made up by a test."""
        more = {"operations": operations, "sets": sets or {}}
        return Facts({**self._data, **{name: {**self._data[name], **added} for name, added in more.items()}})

    def _find(self, path: str) -> tuple[re.Match[str], dict[str, dict[str, Any]]] | None:
        for pattern, methods in self._paths:
            if found := pattern.fullmatch(path):
                return found, methods
        return None

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """What is known of an address below the version, None for one that there is not."""
        found = self._find(path)
        operation = found[1].get(method) if found else None
        if found is None or operation is None:
            return None
        rule = operation.get("argument")
        return None if rule and options.value("the argument", found[0].groups()[-1], rule) else operation

    def application_permissions(self, method: str, path: str) -> frozenset[str]:
        """Those of which each is enough."""
        operation = self.operation(method, path)
        return frozenset(operation["permissions"]) if operation else frozenset()

    def selectable(self, path: str) -> frozenset[str]:
        """Properties that a GET of the address may select."""
        operation = self.operation("GET", path)
        if operation is None:
            raise LookupError(f"facts.json has no GET {path}: see _WANTED in make_facts.py, then run graph-facts")
        return self.sets[operation["options"]["$select"]["names"]]

    def problems(self, method: str, url: str, headers: Mapping[str, str], *, body: bool = False) -> list[str]:
        """What does not fit; nothing: Microsoft describes such a request. `url`: path and query, version included."""
        level = next((text for name, text in headers.items() if name.lower() == "consistencylevel"), None)
        return list(self._verdict(method, _shape(url), level, body))

    def problems_with(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> list[str]:
        """The same of a request with its body; of a batch also what does not fit in the requests that it holds."""
        found = self.problems(method, url, headers, body=bool(content))
        return found or (list(self._batch(content)) if url == _BATCH else [])

    def _judge(self, method: str, url: str, level: str | None, body: bool) -> tuple[str, ...]:
        parts = urlsplit(url)
        path = unquote(parts.path)
        if not path.startswith(f"{VERSION}/"):
            return (f"{path} is not of version 1.0",)
        path = path.removeprefix(VERSION)
        operation = self.operation(method, path)
        if operation is None:
            return (f"there is no {method} {path}",)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = dict(pairs)
        found = [problem for name, text in pairs for problem in self._option(path, operation, name, text)]
        if len(query) < len(pairs):
            found.append("an option stands there twice")
        if "$skiptoken" not in query:
            found += [f"{name} is missing" for name in operation.get("required", ()) if name not in query]
        if "ConsistencyLevel" in operation.get("headers", ()):
            found += options.consistency(path, query, level)
        if body != operation.get("body", False):
            found.append("a body is sent, and none is described" if body else "the body is missing")
        return tuple(found)

    def _option(self, path: str, operation: dict[str, Any], name: str, text: str) -> list[str]:
        rule = operation["options"].get(name)
        if rule is None:
            return [f"{name} is no option here"]
        if name == "$select":
            return options.select(text, self.sets.get(rule["names"]))
        if name == "$expand":
            return options.expand(text, self.sets.get(rule.get("names", "")))
        if name == "$filter":
            return options.filters(text, self._properties(path)) + options.value(name, text, rule)
        if name == "$orderby":
            return options.orderby(text, self._properties(path))
        return options.value(name, text, rule)

    def _properties(self, path: str) -> frozenset[str] | None:
        """What a filter or an order may begin with: what the list of these objects can select or expand."""
        operation = self.operation("GET", path.removesuffix("/$count"))
        taken = operation["options"] if operation else {}
        known = self.sets.get(taken.get("$select", {}).get("names", ""))
        return known | self.sets.get(taken.get("$expand", {}).get("names", ""), frozenset()) if known else None

    def _batch(self, content: bytes) -> Iterator[str]:
        """https://learn.microsoft.com/graph/json-batching"""
        try:
            batch = orjson.loads(content)
            parts = [
                (part["id"], part["method"], part["url"], part.get("headers") or {}, part) for part in batch["requests"]
            ]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            yield f"the batch can't be read: {error!r}"
            return
        if len(batch) > 1 or not 1 <= len(parts) <= _MOST_IN_BATCH or len({part[0] for part in parts}) < len(parts):
            yield "a batch holds 1 to 20 requests with ids of their own, and nothing else"
        for number, method, url, headers, part in parts:
            if not isinstance(number, str) or not part.keys() <= _PART_KEYS or url == "/$batch":
                yield f"{method} {url} can't be a part of a batch"
            for problem in self.problems(method, f"{VERSION}{url}", headers, body="body" in part):
                yield f"{method} {url}: {problem}"


def _pattern(template: str) -> re.Pattern[str]:
    """An id is a whole segment; an argument stands inside parentheses, quoted or not."""
    segments = [
        "([^/]+)" if segment == "{}" else "([^/()']+)".join(re.escape(part) for part in segment.split("{}"))
        for segment in template.split("/")
    ]
    return re.compile("/".join(segments))


def _shape(url: str) -> str:
    """The address without what differs from object to object and page to page, so that a verdict is found again quickly."""
    path, mark, query = url.partition("?")
    path = _ID.sub(_SOME_ID, path)
    if "token=" in query:
        query = _TOKEN.sub(r"\1T", query)
    return f"{path}{mark}{query}"


@cache
def facts() -> Facts:
    """Those of facts.json."""
    return Facts(json.loads(FILE.read_text()))
