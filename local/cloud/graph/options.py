"""What a query option may say: names to select, expand, filter and sort by, numbers, and texts of a given form.

https://learn.microsoft.com/graph/query-parameters and https://learn.microsoft.com/graph/aad-advanced-queries
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Names = frozenset[str] | None
"""Known names; None where the description lists none, because objects of several types are answered."""

_TEXT = re.compile(r"'(?:[^']|'')*'")
_LITERAL = re.compile(
    r"\b(?:[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?|\d+(?:\.\d+)?)(?![\w:])"
)
_WORD = re.compile(r"([A-Za-z_]\w*)((?:/[\w$.]+)*)\s*([(:]?)")
_VARIABLE = re.compile(r"\b([A-Za-z_]\w*)\s*:")
_OPERATORS = frozenset("eq ne gt ge lt le and or not in has true false null".split())
_FUNCTIONS = frozenset("startswith endswith contains".split())
_ADVANCED = re.compile(r"\bne\b|\bnot\b|\bendswith\(", re.IGNORECASE)
_ITEM = re.compile(r"(\*|\w+)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?")
_INSIDE_EXPAND = frozenset("$select $expand $filter $orderby $search $top $skip $count $levels".split())
_SORTED = re.compile(r"\s*(\w+)(?:/\w+)*(?:\s+(?:asc|desc))?\s*")
FORMS = {
    "date": re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"),
    "ids": re.compile(r"\s*id eq '[^']+'(?: or id eq '[^']+'){0,49}\s*"),
}
"""Forms that facts.json names: a day, and a filter for up to 50 ids."""


EXTENSION = re.compile(r"extension_[0-9a-fA-F]{32}_[A-Za-z0-9_]+")
"""A directory extension, which an application defines: https://learn.microsoft.com/graph/extensibility-overview"""


def select(text: str, known: Names) -> list[str]:
    """Problems of a $select."""
    names = [part.strip() for part in text.split(",")]
    found = [
        f"$select names {one or 'nothing'}"
        for one in names
        if not one or (known is not None and one not in known and not EXTENSION.fullmatch(one))
    ]
    return [*found, "$select names something twice"] if len(set(names)) < len(names) else found


def expand(text: str, known: Names) -> list[str]:
    """Problems of an $expand, and of the options inside its parentheses."""
    found: list[str] = []
    at = 0
    while at < len(text):
        item = _ITEM.match(text, at)
        if not item:
            break
        name, inside = item.groups()
        if name != "*" and known is not None and name not in known:
            found.append(f"$expand names {name}")
        found += [f"{part} is no option inside $expand" for part in _inside(inside) if part not in _INSIDE_EXPAND]
        at = item.end()
        if at == len(text):
            return found
        if text[at] != ",":
            break
        at += 1
    return [*found, f"$expand can't be read from {text[at:]!r}"]


def _inside(text: str | None) -> Iterator[str]:
    """Names of the options in an item's parentheses."""
    if text is not None:
        for part in re.sub(r"\([^()]*\)", "", text).split(";"):
            yield part.partition("=")[0].strip()


def _bare(text: str) -> str:
    """A filter without its quoted texts, which may hold words such as `not`."""
    return _TEXT.sub("''", text)


def filters(text: str, known: Names) -> list[str]:
    """Problems of a $filter: properties and functions that do not exist. Values are not looked at."""
    if not text.strip():
        return ["$filter is empty"]
    bare = _bare(text)
    if "'" in bare.replace("''", ""):
        return ["$filter has a quote without an end"]
    bare = _LITERAL.sub("0", bare)
    skipped = _OPERATORS.union(_VARIABLE.findall(bare))
    found = []
    for name, path, follows in _WORD.findall(bare):
        if name in skipped:
            continue
        if follows == "(" and not path:
            found += [] if name.lower() in _FUNCTIONS else [f"$filter calls {name}"]
        elif known is not None and name not in known:
            found.append(f"$filter names {name}")
    return found


def orderby(text: str, known: Names) -> list[str]:
    """Problems of an $orderby."""
    found = []
    for part in text.split(","):
        item = _SORTED.fullmatch(part)
        if not item or (known is not None and item.group(1) not in known):
            found.append(f"$orderby names {part.strip() or 'nothing'}")
    return found


def value(name: str, text: str, rule: Mapping[str, Any]) -> list[str]:
    """Problems of what takes a number, one of some values, or a text of a form."""
    if "least" in rule:
        number = int(text) if re.fullmatch("-?[0-9]{1,9}", text) else None
        most = rule["most"]
        good = number is not None and number >= rule["least"] and (most is None or number <= most)
    elif "values" in rule:
        good = text in rule["values"]
    else:
        good = "form" not in rule or FORMS[rule["form"]].fullmatch(text) is not None
    return [] if good else [f"{name} may not be {text!r}"]


def consistency(path: str, query: Mapping[str, str], level: str | None) -> list[str]:
    """Problems of an address that takes advanced queries. `level`: the header ConsistencyLevel."""
    found = []
    if level is not None and level.lower() != "eventual":
        found.append("ConsistencyLevel may be eventual only")
    counted = query.get("$count") == "true"
    advanced = "$search" in query or counted or path.endswith("/$count") or {"$filter", "$orderby"} <= query.keys()
    if advanced and level is None:
        found.append("this needs the header ConsistencyLevel: eventual")
    if _ADVANCED.search(_bare(query.get("$filter", ""))) and not (counted and level):
        found.append("this $filter needs ConsistencyLevel: eventual and $count=true")
    if level is not None and "$expand" in query:
        found.append("$expand does not go with ConsistencyLevel")
    return found
