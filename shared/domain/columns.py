"""Columns of a record that say something about others."""

from collections.abc import Mapping, Sequence
from typing import Any

TIME_SUFFIX = "@odata.type"
"""Behind a column's name: the column that holds its EDM type, so that Table Storage takes it for a time."""
MALFORMED = "Malformed"
"""Names the record's attributes whose values could not be stored."""


class _Unknown:
    """Truthy, and no text: whoever takes it for a value fails."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
"""Stands in an object where Graph sent a value that can't be understood."""


def with_malformed(columns: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The columns, and in them the names of attributes whose values could not be stored."""
    return {**columns, MALFORMED: " ".join(names)} if names else columns


def malformed_in(row: Mapping[str, Any]) -> list[str]:
    """The reverse of with_malformed()."""
    return str(row.get(MALFORMED, "")).split()
