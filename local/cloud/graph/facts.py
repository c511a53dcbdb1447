"""Whether a request is one that Microsoft describes: path, method, query options and their values, headers, body."""

import json
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local.cloud.graph.make_facts import FILE

VERSION = "/v1.0"
_ADVANCED = re.compile(r"\bne\b|\bnot\b|endswith\(", re.IGNORECASE)
_ITEM = re.compile(r"\*|(\w+)(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?")
_ID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
_TOKEN = re.compile(r"(\$(?:skip|delta)token=)[^&]*")


class Facts:
    """The file's content, ready to look things up."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.sets = {name: frozenset(names) for name, names in data["sets"].items()}
        self.permissions = frozenset(data["permissions"])
        self._operations: list[tuple[str, re.Pattern[str], dict[str, Any]]] = []
        for key, operation in data["operations"].items():
            method, _, template = key.partition(" ")
            pattern = "([^/']+)".join(re.escape(part) for part in template.split("{}"))
            self._operations.append((method, re.compile(pattern), operation))
        # Literal addresses before those with a place for an id.
        self._operations.sort(key=lambda entry: (entry[1].groups, -len(entry[1].pattern)))

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """What is known of an address below the version, None for one that there is not."""
        for known, pattern, operation in self._operations:
            found = pattern.fullmatch(path)
            if known == method and found:
                values = operation.get("values")
                if values and found.group(found.re.groups) not in values:
                    continue
                return operation
        return None

    def application_permissions(self, method: str, path: str) -> frozenset[str]:
        """Those of which each is enough."""
        operation = self.operation(method, path)
        return frozenset(operation["permissions"]) if operation else frozenset()

    def selectable(self, path: str) -> frozenset[str]:
        """Properties that a GET of the address may select."""
        operation = self.operation("GET", path)
        assert operation is not None, path
        return self.sets[operation["options"]["$select"]["names"]]

    def problems(self, method: str, url: str, headers: Mapping[str, str], *, body: bool = False) -> list[str]:
        """What does not fit; nothing: Microsoft describes such a request. `url`: path and query, version included."""
        shape = _TOKEN.sub(r"\1T", _ID.sub("00000000-0000-0000-0000-000000000000", url))
        level = next((value for name, value in headers.items() if name.lower() == "consistencylevel"), None)
        return list(self._problems(method, shape, level, body))

    @lru_cache(4096)  # noqa: B019 - there is one for the whole process
    def _problems(self, method: str, url: str, level: str | None, body: bool) -> tuple[str, ...]:
        parts = urlsplit(url)
        path = unquote(parts.path)
        if not path.startswith(f"{VERSION}/"):
            return (f"{path} is not of version 1.0",)
        operation = self.operation(method, path.removeprefix(VERSION))
        if operation is None:
            return (f"there is no {method} {path}",)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        found = [problem for name, text in query.items() for problem in self._option(operation, name, text)]
        if "$skiptoken" not in query:
            found += [f"{name} is missing" for name in operation.get("required", ()) if name not in query]
        if "ConsistencyLevel" in operation.get("headers", ()):
            found += _consistency(path, query, level)
        if body != operation.get("body", False):
            found.append("a body is sent, and none is described" if body else "the body is missing")
        return tuple(found)

    def _option(self, operation: dict[str, Any], name: str, text: str) -> list[str]:
        option = operation["options"].get(name)
        if option is None:
            return [f"{name} is no option here"]
        if "names" in option:
            names = [part.strip() for part in text.split(",")]
            known = self.sets.get(option["names"])
            unknown = [one for one in names if not one or (known is not None and one not in known)]
            return [f"{name} names {one or 'nothing'}" for one in unknown] + (
                [f"{name} names something twice"] if len(set(names)) < len(names) else []
            )
        if "expands" in option:
            return self._expanded(name, text, self.sets[option["expands"]])
        if "least" in option:
            number = int(text) if re.fullmatch(r"-?\d+", text) else None
            most = option["most"]
            bad = number is None or number < option["least"] or (most is not None and number > most)
            return [f"{name} may not be {text}"] if bad else []
        if "values" in option:
            return [] if text in option["values"] else [f"{name} may not be {text}"]
        if "form" in option and not re.search(option["form"], text):
            return [f"{name} has not the form that is described"]
        return [] if text or name != "$filter" else [f"{name} is empty"]

    def _expanded(self, name: str, text: str, known: frozenset[str]) -> list[str]:
        at = 0
        while at < len(text):
            item = _ITEM.match(text, at)
            if not item or (item.group(1) and item.group(1) not in known):
                return [f"{name} names {text[at:]}"]
            at = item.end()
            if at < len(text):
                if text[at] != "," or at + 1 == len(text):
                    return [f"{name} can't be read from {text[at:]}"]
                at += 1
        return [] if text else [f"{name} is empty"]


def _consistency(path: str, query: dict[str, str], level: str | None) -> list[str]:
    """https://learn.microsoft.com/graph/aad-advanced-queries"""
    found = []
    if level is not None and level.lower() != "eventual":
        found.append("ConsistencyLevel may be eventual only")
    counted = query.get("$count") == "true"
    advanced = "$search" in query or counted or path.endswith("/$count") or {"$filter", "$orderby"} <= query.keys()
    if advanced and level is None:
        found.append("this needs the header ConsistencyLevel: eventual")
    if _ADVANCED.search(query.get("$filter", "")) and not (counted and level):
        found.append("this $filter needs ConsistencyLevel: eventual and $count=true")
    if level is not None and "$expand" in query:
        found.append("$expand does not go with ConsistencyLevel")
    return found


@cache
def facts() -> Facts:
    return Facts(json.loads(FILE.read_text()))
