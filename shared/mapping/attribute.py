"""One target attribute: where it comes from, what is made of it, how it is stored, what it means."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from shared.domain.columns import MALFORMED
from shared.domain.value_type import Type
from shared.mapping.paths import head

__all__ = ["FILTER_WORDS", "MOST_COLUMNS", "RESERVED", "Attribute", "Step", "Type", "by", "column_of"]


@dataclass(frozen=True)
class Step:
    """A transform of shared.mapping.transforms by its name. `parameters`: as JSON with sorted keys."""

    name: str
    parameters: str = "{}"

    @property
    def given(self) -> dict[str, Any]:
        """The parameters."""
        return dict(orjson.loads(self.parameters))


def by(name: str, **parameters: Any) -> tuple[Step, ...]:
    """One step."""
    return (Step(name, orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS).decode()),)


@dataclass(frozen=True)
class Attribute:
    """`name` is camelCase (API), `column` PascalCase (table). `source` are paths into the Graph object (several: the first
    names the value's provenance); `steps` are done one after the other, none: the value as it is. Without a source and
    steps the value is always missing, for `missing`'s reason. `role`: what the product uses it for, by the name that it
    has in the kind's default; its column keeps that name, however the owner calls it.
    """

    name: str
    title: str
    type: Type = Type.TEXT
    source: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    missing: str | None = None
    note: str | None = None
    remarks: tuple[tuple[str, str, str], ...] = ()
    """What to say with a value: where a column of the same row holds a value, a text."""
    role: str = ""
    personal: str = ""
    """Class of personal data; empty: it names nobody."""

    @property
    def column(self) -> str:
        return column_of(self.role or self.name)

    @cached_property
    def properties(self) -> tuple[str, ...]:
        """The Graph properties that it reads."""
        return tuple(dict.fromkeys(head(path) for path in self.source))

    @property
    def mapped(self) -> bool:
        """Whether there can be values of it at all."""
        return bool(self.source or self.steps)


def column_of(name: str) -> str:
    """The column of a target attribute."""
    return name[:1].upper() + name[1:]


RESERVED = frozenset(
    f"PartitionKey RowKey Timestamp V Digest ChangedAt FirstSeenAt ChangedBy Missing {MALFORMED}".split()
)
"""Columns that Rollcall itself uses: no attribute may have one of these names."""
FILTER_WORDS = frozenset("eq ne lt le gt ge and or not startswith true false null".split())
"""Words of the filter of lists: an attribute of that name could not be asked for."""
MOST_COLUMNS = 200
