"""Paths into a Graph object: `city`, `employeeOrgData.division`, `businessPhones[0]`, `identities[*].issuer`,
`onPremisesExtensionAttributes.extensionAttribute1`, `extension_0123456789abcdef0123456789abcdef_costCentre`.
"""

import re
from collections.abc import Callable
from typing import Any

_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})(?:\[(\*|\d{1,3})\])?")
MOST = 300
"""Characters of a path."""


def parts(path: str) -> list[tuple[str, str]]:
    """Names, each with what stands in its brackets. Raises ValueError for what is no path."""
    found = [_PART.fullmatch(part) for part in path.split(".")] if len(path) <= MOST else []
    if not found or not all(found) or len(found) > 8:
        raise ValueError("must be names of properties with dots between them, such as employeeOrgData.division")
    return [(one[1], one[2] or "") for one in found if one]


def head(path: str) -> str:
    """The property of the object itself: what $select names."""
    return path.partition(".")[0].partition("[")[0]


def is_plain(path: str) -> bool:
    return head(path) == path


def reader(path: str) -> Callable[[dict[str, Any]], Any]:
    """Reads the value; None where something on the way is not there. The function raises TypeError where something on the
    way is of another kind.
    """
    steps = [(name, None if not index or index == "*" else int(index), index == "*") for name, index in parts(path)]

    def read(value: Any) -> Any:
        for number, (name, index, every) in enumerate(steps):
            if value is None:
                return None
            if not isinstance(value, dict):
                raise TypeError
            value = value.get(name)
            if value is None:
                return None
            if every or index is not None:
                if not isinstance(value, list):
                    raise TypeError
                if every:
                    return _each(value, ".".join(_text(step) for step in steps[number + 1 :]))
                assert index is not None
                value = value[index] if index < len(value) else None
        return value

    return read


def _text(step: tuple[str, int | None, bool]) -> str:
    name, index, every = step
    return f"{name}[*]" if every else name if index is None else f"{name}[{index}]"


def _each(values: list[Any], rest: str) -> list[Any] | None:
    found = [value for value in values if value is not None]
    if rest:
        read = reader(rest)
        found = [inner for value in found if (inner := read(value)) is not None]
        if "[*]" in rest:
            found = [inner for some in found for inner in some]
    return found or None
