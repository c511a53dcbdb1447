"""Records that are too large for Table Storage, which takes 1 MiB an entity and counts two bytes a character."""

from collections.abc import Sequence
from typing import Any

from shared.domain.columns import malformed_in, with_malformed
from shared.mapping.attribute import Attribute

_MOST = 1024 * 1024 - 64 * 1024  # what keys, system columns and the names of split columns may take
SURELY_FITS = _MOST // 4
"""Bytes of JSON: each character of a value takes at least one."""


def fitting(columns: dict[str, Any], attributes: Sequence[Attribute]) -> dict[str, Any]:
    """The columns without the largest values, as few as will do; those count as malformed."""
    sizes = {name: _size(name, value) for name, value in columns.items()}
    total, left_out = sum(sizes.values()), list[str]()
    by_column = {attribute.column: attribute.name for attribute in attributes}
    for column in sorted(by_column.keys() & sizes.keys(), key=lambda name: -sizes[name]):
        if total <= _MOST:
            break
        total -= sizes[column]
        left_out.append(by_column[column])
    gone = {column for column, name in by_column.items() if name in left_out}
    kept = {name: value for name, value in columns.items() if name.partition("@")[0] not in gone}
    return with_malformed(kept, [*malformed_in(columns), *left_out])


def _size(name: str, value: Any) -> int:
    text = value if isinstance(value, str) else "12345678"
    return len(name) * 2 + len(text.encode("utf-16-le")) + 16
