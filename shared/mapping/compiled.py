"""A mapping as one generated Python function: 4 microseconds for 40 attributes, against 34 and more for interpreters.

The function turns a Graph object into a dict of columns. Empty values have no column. Times get their EDM type beside
them, so that Table Storage filters them as times.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from shared.mapping.attribute import RESERVED, Attribute, Type
from shared.mapping.transforms import TRANSFORMS

Mapper = Callable[[dict[str, Any]], dict[str, Any]]
TIME_SUFFIX = "@odata.type"
_NUMBERS = {name: number for number, name in enumerate(TRANSFORMS)}


def _lines(attribute: Attribute) -> list[str]:
    gets = [f"g({source!r})" for source in attribute.source]
    value = f"t{_NUMBERS[attribute.transform]}({', '.join(gets)})" if attribute.transform else gets[0]
    column = attribute.column
    lines = [f" v = {value}"]
    if attribute.type is Type.TIME:
        # 0001-01-01 is how some services write "never"; Table Storage has no such year.
        # A mistyped year before 1601 is a fact too, but no Edm.DateTime: it is kept as text.
        lines.append(" if v and (year := v[:4]) != '0001':")
        lines.append(f"  e[{column!r}] = v")
        lines.append(f"  if year > '1600': e[{column + TIME_SUFFIX!r}] = 'Edm.DateTime'")
    elif attribute.type is Type.JSON:
        lines.append(f" if v: e[{column!r}] = dumps(v).decode()")
    elif attribute.type is Type.TEXT:
        lines.append(f" if v: e[{column!r}] = v")
    else:
        lines.append(f" if v is not None: e[{column!r}] = v")
    return lines


@functools.cache
def compile_mapping(attributes: tuple[Attribute, ...]) -> Mapper:
    """The function of a mapping. Raises ValueError for clashing or reserved columns, or a transform that is not there."""
    columns = [attribute.column for attribute in attributes]
    if len(set(columns)) != len(columns) or RESERVED & set(columns) or len(columns) > 200:
        raise ValueError("columns must be unique, not reserved, at most 200")
    if unknown := {a.transform for a in attributes if a.transform} - TRANSFORMS.keys():
        raise ValueError(f"there is no transform {', '.join(sorted(unknown))}")
    lines = ["def mapper(u):", " g = u.get; e = {}"]
    for attribute in attributes:
        if attribute.source:
            lines += _lines(attribute)
    lines.append(" return e")
    space: dict[str, Any] = {
        "dumps": orjson.dumps,
        **{f"t{number}": TRANSFORMS[name] for name, number in _NUMBERS.items()},
    }
    exec("\n".join(lines), space)  # noqa: S102 - every name in it is quoted by repr
    mapper: Mapper = space["mapper"]
    return mapper


def selected(attributes: Sequence[Attribute]) -> list[str]:
    """The Graph properties that the mapping reads, once each, in order."""
    return list(dict.fromkeys(source for attribute in attributes for source in attribute.source))


def fingerprint(*parts: Any) -> str:
    """Names a mapping together with whatever else decides what a row holds; a change means a full read."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
