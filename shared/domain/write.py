"""What the engine asks the record store to do with one object, and what the store tells about what it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from shared.clock import parse_iso
from shared.domain.record_type import RecordType


class Act(Enum):
    NEW = "new"
    """There was no record: write one."""
    CHANGE = "change"
    """Replace the record if a value differs from what is stored."""
    LEAVE = "leave"
    """Out of the owner's scope: keep a stub, drop the record."""
    OUTSIDE = "outside"
    """Was never in scope: write or renew the stub."""
    REMOVE = "remove"
    """Gone at the source: keep a tombstone, drop the record."""


@dataclass(slots=True)
class Write:
    """`card`: what look-ups need, by role, `body`: the JSON of all, `digest` its 64-bit digest. Thousands wait for
    their batch at a time, so nothing is kept twice. `reason`: why it is out of scope, or gone.
    `had_stub`: a stub is there. `changed`: a value differs from what we knew. `again`: the record was written by an
    attempt that may have died before its look-up rows. `stored`, `stub`: rows that were read already.
    """

    object_id: str
    act: Act
    card: dict[str, Any]
    body: bytes
    digest: int
    reason: str | None = None
    had_stub: bool = False
    changed: bool = False
    again: bool = False
    stored: dict[str, Any] | None = None
    stub: dict[str, Any] | None = None


class Head(NamedTuple):
    """What an index needs of a stored row. `changed_day`: days since 1970 of the last change seen, 0 for none;
    `written_as`, `written_by`: new, changed or returned, and the run that did it; `left_in`: the run in which it left
    the owner's scope; `first_seen`: ISO 8601.
    """

    object_id: str
    digest: int
    changed_day: int
    written_as: str
    written_by: str
    left_in: str = ""
    first_seen: str = ""


class Known(NamedTuple):
    """The stored rows of one object, None where there is none."""

    row: dict[str, Any] | None
    stub: dict[str, Any] | None


Intent = list[tuple[str, list[tuple[str, str]]]]
"""Objects whose look-up rows are about to change: object id, and the keys of the rows that it has now."""


def changed_day(row: Mapping[str, Any]) -> int:
    """The day (since 1970) of the last change that we saw, 0 where we never saw one."""
    changed, first = row.get("ChangedAt", ""), row.get("FirstSeenAt", "")
    return int(parse_iso(changed).timestamp() // 86400) if changed and changed != first else 0


@dataclass(frozen=True)
class Home:
    """Whose records they are, where they lie and how they are found. `partition` is the record type's name, or one of its
    own for a stream whose rows lie apart.
    """

    source: str
    connector: str
    stream: str
    record_type: RecordType
    partition: str
    lookups: bool = True


@dataclass(frozen=True)
class Authorship:
    """The run that writes and its time, which every row of it carries. `journal`: whether changes are noted (the first
    read of a stream notes none); `comparable`: columns whose mapping is what it was; `scope_changed`: the owner moved
    the scope, which one entry says for all.
    """

    run: str
    at: datetime
    journal: bool = False
    comparable: frozenset[str] | None = None
    scope_changed: bool = False
