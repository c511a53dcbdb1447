"""What differs between two versions of an object, for its history."""

from collections.abc import Iterator
from typing import Any

from shared.domain.audit import FieldChanged

_SET = "set"


def differences(before: dict[str, Any], after: dict[str, Any], path: str = "") -> Iterator[FieldChanged]:
    """Field by field; lists are one value."""
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{path}{name}.")
        elif old != new:
            yield FieldChanged(field=f"{path}{name}", before=old, after=new)


def secret_changed(field: str, *, before: bool, after: bool) -> FieldChanged:
    """Of a secret nobody learns more than that it is there."""
    return FieldChanged(field=field, before=_SET if before else None, after=_SET if after else None)
