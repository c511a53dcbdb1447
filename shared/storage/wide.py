"""Text that is longer than one table property may be (64 KiB of UTF-16, 32,768 characters): split on writing, joined on
reading. `Body` becomes `Body`, `Body__1`, `Body__2`, ...
"""

from collections.abc import Mapping
from typing import Any

LIMIT = 32_000  # UTF-16 code units; a little below the service's limit


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2 if not text.isascii() else len(text)


def _cut(text: str) -> list[str]:
    step = LIMIT if text.isascii() else LIMIT // 2  # a character outside the basic plane is two units
    return [text[start : start + step] for start in range(0, len(text), step)]


def split(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every too long text in numbered parts."""
    if not any(isinstance(value, str) and len(value) > LIMIT // 2 for value in row.values()):
        return dict(row)
    wide: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, str) and _units(value) > LIMIT:
            for number, part in enumerate(_cut(value)):
                wide[f"{name}__{number}" if number else name] = part
        else:
            wide[name] = value
    return wide


def join(row: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of split()."""
    if not any("__" in name for name in row):
        return dict(row)
    whole = {name: value for name, value in row.items() if "__" not in name}
    for name in list(whole):
        number = 1
        while (part := row.get(f"{name}__{number}")) is not None:
            whole[name] += part
            number += 1
    return whole
