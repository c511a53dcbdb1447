"""What the engine asks the record store to do with one object, and what the store tells about what it has."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


@dataclass(frozen=True)
class LookupRule:
    """Which columns of a record can be searched by prefix, under which attribute of the look-up table."""

    attribute: str
    columns: tuple[str, ...]


CARD_COLUMNS = ("DisplayName", "SignInName", "Mail", "EmployeeId", "Enabled")
"""What a line of a list shows; look-up rows carry it, so that lists read nothing else."""


class Act(Enum):
    NEW = "new"
    """There was no record: write one."""
    CHANGE = "change"
    """Replace the record if a value differs from what is stored."""
    LEAVE = "leave"
    """Out of the owner's scope: keep a stub, drop the record."""
    OUTSIDE = "outside"
    """Was never in scope: write or renew the stub."""


@dataclass(slots=True)
class Write:
    """`card`: the columns that look-ups need, `body`: the JSON of all, `digest` its 64-bit digest. Thousands wait for
    their batch at a time, so nothing is kept twice. `reason`: why it is out of scope.
    `had_stub`: a stub is to be dropped once the record is there. `changed`: a value differs from what we knew.
    """

    object_id: str
    act: Act
    card: dict[str, Any]
    body: bytes
    digest: int
    reason: str | None = None
    had_stub: bool = False
    changed: bool = False


class Head(NamedTuple):
    """What an index needs of a stored row. `changed_day`: days since 1970 of the last change seen, 0 for none;
    `born_in`: the run that wrote the row first; `left_in`: the run in which it left the owner's scope.
    """

    object_id: str
    digest: int
    changed_day: int
    born_in: str
    left_in: str = ""
