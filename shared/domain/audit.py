"""Who did what, and when: changes of the configuration, and a chain of everything else."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import Field, StringConstraints

from shared.domain.base import Model

FIRST = "0" * 64
"""Stands where the hash of an earlier entry would: the chain begins here."""
_MOST_SHOWN = 20
CLOSING = "day-closed"
"""What the last entry of a day says: the next day's first one holds its hash."""


class Done(Model):
    """What every entry says."""

    at: datetime
    """UTC."""
    by_id: str
    """Object id of the person or application; system: Rollcall itself."""
    by_name: str
    """The name at that time."""
    by_application: bool
    """Whether an application did it rather than a person."""


class FieldChanged(Model):
    """One field."""

    field: str
    """Its path, such as schedule.timeZone."""
    before: Any = None
    """Its value before. Of a secret: set, or null."""
    after: Any = None
    """Its value after."""


class ConfigurationChange(Done):
    """A change of one object, written in the same transaction as the object itself."""

    action: str
    """created, changed, deletion-begun or deleted."""
    kind: str
    """organization, sourceGroup, source, credential, connector or connectorServer."""
    id: str
    """The object."""
    name: str
    """Its name after the change."""
    revision: int
    """The revision that the change made; of a deletion: the last one."""
    changes: list[FieldChanged] = []
    """What differs."""


class AuditEntry(Done):
    """One link of a source's chain. Its hash covers all other fields, so that nothing can be changed or left out later
    without every hash behind it.
    """

    source_id: str
    """The source that it concerns; installation: none."""
    day: str
    """YYYYMMDD, UTC; entries are numbered by day."""
    sequence: int
    """From 1."""
    what: str
    """run-asked, run-cancelled, hold-confirmed, hold-rejected, refused, or day-closed."""
    subject: str = ""
    """What it was done to: a connector, a run, a hold, or the role that was missing."""
    details: dict[str, Any] = {}
    """What else there is to say; never a secret."""
    previous: str
    """Hash of the entry before."""
    hash: str = ""
    """SHA-256 of the canonical JSON of everything above, hex."""

    def computed(self) -> str:
        """What the hash has to be."""
        plain = self.model_dump(mode="json", by_alias=True, exclude={"hash"})
        return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


class ChainHead(Model):
    """The end of a source's chain at some time, as it was written down elsewhere."""

    source_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,40}$")]
    """The source, or installation."""
    day: Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]
    """YYYYMMDD."""
    sequence: Annotated[int, Field(ge=1, le=99_999_999)]
    """The last entry by then."""
    hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Its hash."""


class ChainReport(Model):
    """Whether a chain is whole."""

    source_id: str
    """The source, or installation."""
    whole: bool
    """Nothing is wrong with it."""
    entries: int
    """Entries that were looked at."""
    first_day: str = ""
    """The oldest day that is kept."""
    broken: list[str] = []
    """The first twenty places where something is wrong, and what."""
    head: ChainHead | None = None
    """Its end now: write it down where this installation can't change it."""


def check_chain(source: str, entries: Iterable[AuditEntry], heads: Iterable[ChainHead] = ()) -> ChainReport:
    """Follows a chain from its oldest entry that is kept. `heads`: ends of it that were written down elsewhere."""
    broken: list[str] = []
    seen: dict[tuple[str, int], str] = {}
    first: AuditEntry | None = None
    last: AuditEntry | None = None
    for entry in entries:
        first = first or entry
        broken += [f"{entry.day} {entry.sequence}: {what}" for what in _wrong(entry, last)]
        seen[entry.day, entry.sequence] = entry.hash
        last = entry
    for head in heads:
        kept = head.source_id == source and not (first and head.day < first.day)
        if kept and seen.get((head.day, head.sequence)) != head.hash:
            broken.append(f"{head.day} {head.sequence}: the entry that was there at that time is not")
    end = ChainHead(source_id=source, day=last.day, sequence=last.sequence, hash=last.hash) if last else None
    return ChainReport(
        source_id=source, whole=not broken, entries=len(seen), first_day=first.day if first else "",
        broken=broken[:_MOST_SHOWN], head=end,
    )  # fmt: skip


def _wrong(entry: AuditEntry, last: AuditEntry | None) -> Iterator[str]:
    if entry.computed() != entry.hash:
        yield "its content is not what its hash says"
    if last is None:
        if entry.sequence != 1:
            yield "entries before it are missing"
        return
    following = 1 if entry.day != last.day else last.sequence + 1
    if entry.sequence != following:
        yield "entries before it are missing"
    elif entry.previous != last.hash:
        yield "it does not follow the entry before"
    if entry.day != last.day and last.what != CLOSING:
        yield "the day before does not end with its closing entry"
