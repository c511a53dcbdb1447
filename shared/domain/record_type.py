"""What a record describes, such as a person or a device: how it is named, listed, searched and related to others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CARD = ("DisplayName", "SignInName", "Mail", "EmployeeId", "Enabled")
"""Roles of the columns that a line of a list shows. Look-up rows, tombstones and holds carry them under these names."""


@dataclass(frozen=True)
class LookupRule:
    """Which roles of a card can be searched by prefix, under which attribute of the look-up table. `words`: by the beginning
    of each of its words, too.
    """

    attribute: str
    roles: tuple[str, ...]
    words: bool = False


@dataclass(frozen=True)
class Relation:
    """Other objects of the same source that an attribute names by object id; resolved when the record is read."""

    name: str
    attribute: str
    target: str
    """Name of the record type that the ids belong to."""
    many: bool = False
    meaning: str = ""


@dataclass(frozen=True)
class RecordType:
    """`name` is part of stored keys and never changes; `plural` is the collection's address. `card` says which column of
    the record plays which role of CARD. The first look-up is the one that lists by name go by; without any there is neither
    search nor a list by name.
    """

    name: str
    plural: str
    title: str
    lookups: tuple[LookupRule, ...]
    card: tuple[tuple[str, str], ...] = tuple((role, role) for role in CARD)
    relations: tuple[Relation, ...] = ()
    part_of: str = ""
    """The record type that these are parts of: their ids begin with its object's id and a point."""

    @property
    def schema(self) -> str:
        """Its name among the models of the API."""
        return "".join(word.capitalize() for word in self.title.split())

    def card_of(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """The card of a record: role to value, without what is empty."""
        return {role: columns[column] for role, column in self.card if column in columns}
