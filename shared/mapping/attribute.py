"""One target attribute: where it comes from, how it is stored, what it means."""

from dataclasses import dataclass
from enum import StrEnum

from shared.domain.columns import MALFORMED


class Type(StrEnum):
    """How a value is stored in its column, and given back by the API."""

    TEXT = "text"
    FLAG = "flag"
    NUMBER = "number"
    TIME = "time"
    JSON = "json"  # collections and structures, as JSON text


@dataclass(frozen=True)
class Attribute:
    """`name` is camelCase (API), `column` PascalCase (table). `source` is the Graph property that is selected (several:
    the first names the value's provenance); `transform` names a function of shared.mapping.transforms, none: the value
    as it is. Without a source the value is always missing, for `missing`'s reason.
    """

    name: str
    title: str
    type: Type = Type.TEXT
    source: tuple[str, ...] = ()
    transform: str | None = None
    missing: str | None = None
    note: str | None = None
    remarks: tuple[tuple[str, str, str], ...] = ()
    """What to say with a value: where a column of the same row holds a value, a text."""

    @property
    def column(self) -> str:
        return self.name[0].upper() + self.name[1:]


RESERVED = frozenset(
    f"PartitionKey RowKey Timestamp V Digest ChangedAt FirstSeenAt ChangedBy Missing {MALFORMED}".split()
)
"""Columns that Rollcall itself uses: no attribute may have one of these names."""
