"""What reports read: rows of one source as they are stored, in the order of their ids, a page at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.clock import Clock
from shared.connectors.base import Stream
from shared.connectors.entra_id import SIGN_INS
from shared.connectors.microsoft_365 import ASSIGNMENTS, LICENCES, PEOPLE, REPORTS
from shared.connectors.registry import Registry
from shared.domain.document import Document
from shared.domain.run import track_of
from shared.names import RECORDS
from shared.records.merging import time_of
from shared.reports.base import Column
from shared.storage import keys
from shared.storage.layout import Row

if TYPE_CHECKING:  # the app's routes are made at its start, and need no client then
    from shared.storage.config import ConfigStore
    from shared.storage.runs import Runs
    from shared.storage.tables import Tables

_PAGE = 1000
ACTIVE_USERS = REPORTS[0]
LAST_ACTIVITY = tuple(a.column for a in ACTIVE_USERS.attributes if a.name in ACTIVE_USERS.seen)
_REPORTED = next(a.column for a in ACTIVE_USERS.attributes if a.name.endswith("ReportedOn"))
PERSON = (
    "DisplayName",
    "SignInName",
    "Mail",
    "Department",
    "Country",
    "CompanyName",
    "JobTitle",
    "Enabled",
    "UserType",
)
_ASSIGNMENT = ("PersonId", "SkuId", "Product", "Path", "GroupId", "State", "Error", "DisabledPlans", "UpdatedAt")
_LOGON = "LastLogonAt"


@dataclass
class Holder:
    """Somebody with what they hold. `person`: None where the copy does not have them; `usage`, `logon`: None where nothing is
    stored of them.
    """

    id: str
    person: Row | None
    assignments: list[Row]
    usage: Row | None
    logon: Row | None

    @property
    def last_activity(self) -> datetime | None:
        """The last day that a usage report or a logon shows."""
        found = [time_of(self.usage[name]) for name in LAST_ACTIVITY if self.usage and self.usage.get(name)]
        if self.logon and self.logon.get(_LOGON):
            found.append(time_of(self.logon[_LOGON]))
        return max(found, default=None)

    @property
    def reported_on(self) -> datetime | None:
        """The day that the usage report is of."""
        return time_of(self.usage[_REPORTED]) if self.usage and self.usage.get(_REPORTED) else None

    @property
    def active(self) -> list[Row]:
        """What works: without assignments in error."""
        return [one for one in self.assignments if one.get("State") != "Error"]


@dataclass
class Copy:
    """One source. `not_in_copy` counts holders of licences whom the reader met and the copy does not have."""

    tables: "Tables"
    config: "ConfigStore"
    runs: "Runs"
    registry: Registry
    source: str
    clock: Clock
    not_in_copy: int = 0

    def rows(self, stream: Stream, columns: Sequence[str], after: str = "") -> Iterator[tuple[str, Row]]:
        """Each object once, in the order of ids: of two connectors that read it, the older one's row. A documented scan."""
        partitions = keys.record_partitions(self.source, stream.partition)
        cursor = (keys.record_partition(self.source, stream.partition, after), f"{after}~") if after else None
        last = ""
        while True:
            found = self.tables.scan(
                RECORDS, partitions, after=cursor, limit=_PAGE, select=("PartitionKey", "RowKey", *columns)
            )
            for stamped in found:
                object_id = stamped.row["RowKey"].split("|", 1)[0]
                if object_id != last:
                    yield object_id, stamped.row
                last = object_id
            if len(found) < _PAGE:
                return
            cursor = (found[-1].row["PartitionKey"], found[-1].row["RowKey"])

    def holders(self, after: str = "") -> Iterator[Holder]:
        """Everybody who holds a licence, in the order of ids. Three lists in one order: none is held in memory."""
        people = Side(self.rows(PEOPLE, PERSON, after))
        usage = Side(self.rows(ACTIVE_USERS, (*LAST_ACTIVITY, _REPORTED), after))
        logons = Side(self.rows(SIGN_INS, (_LOGON,), after))
        for person_id, assignments in _by_person(self.rows(ASSIGNMENTS, _ASSIGNMENT, after)):
            found = Holder(person_id, people.at(person_id), assignments, usage.at(person_id), logons.at(person_id))
            if found.person is None:
                self.not_in_copy += 1
            yield found

    @cached_property
    def licences(self) -> dict[str, Row]:
        """What the tenant has bought, by SKU id."""
        columns = [attribute.column for attribute in LICENCES.attributes]
        return {str(row.get("SkuId", "")).lower(): row for _, row in self.rows(LICENCES, columns)}

    def product(self, assignment: Row) -> str:
        """A product's name; where no table has one, its part number or id."""
        sku = str(assignment.get("SkuId", ""))
        bought = self.licences.get(sku)
        return str((bought or assignment).get("Product") or sku)

    def part_number(self, sku: str) -> str | None:
        """None where the tenant owns it no more."""
        bought = self.licences.get(sku)
        return str(bought["PartNumber"]) if bought and bought.get("PartNumber") else None

    @cached_property
    def connectors(self) -> list[Document]:
        return [document for document in self.config.all("connector") if document.source_id == self.source]

    @cached_property
    def prices(self) -> dict[str, Decimal]:
        """What a seat costs a month, by SKU id, as owners entered it."""
        found: dict[str, Decimal] = {}
        for document in self.connectors:
            for price in document.body.get("options", {}).get("prices", []):
                found.setdefault(price["skuId"].lower(), Decimal(str(price["monthly"])))
        return found

    def as_of(self, streams: Sequence[Stream]) -> dict[str, str | None]:
        """When each stream was last read completely; None: never."""
        found: dict[str, str | None] = {}
        for stream in streams:
            times = []
            for document in self.connectors:
                kind = self.registry.known_kind_of(document)
                declared = kind.stream(stream.name) if kind else None
                if kind and declared and declared.record_type == stream.record_type:
                    track = track_of(document.id, kind.job_of(stream.name).name)
                    times.append(self.runs.stream(track, stream.name).completed_at or "")
            found[stream.name] = max(times, default="") or None
        return found


class Side:
    """A list in the order of ids, of which one row at a time is asked for in the same order."""

    def __init__(self, rows: Iterator[tuple[str, Row]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def at(self, object_id: str) -> Row | None:
        while self._next and _order(self._next[0]) < _order(object_id):
            self._next = next(self._rows, None)
        return self._next[1] if self._next and self._next[0] == object_id else None


WHO = (
    Column("personId", "Person id"), Column("displayName", "Display name"), Column("signInName", "Sign-in name"),
    Column("department", "Department"), Column("country", "Country"), Column("company", "Company"), Column("enabled", "Enabled", "flag"),
)  # fmt: skip
"""The columns of a report that say whose row it is."""


def who(object_id: str, person: Row | None) -> Row:
    """Whose row it is."""
    found = person or {}
    return {
        "personId": object_id, "displayName": found.get("DisplayName"), "signInName": found.get("SignInName"),
        "department": found.get("Department"), "country": found.get("Country"), "company": found.get("CompanyName"),
        "enabled": found.get("Enabled"),
    }  # fmt: skip


def owner_of(part: str) -> str:
    """The object that a part is of."""
    return part.partition(".")[0]


def _order(object_id: str) -> tuple[str, str]:
    """Partitions first, then ids: as a scan gives them."""
    return keys.shard(object_id), object_id


def _by_person(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, list[Row]]]:
    person, found = "", list[Row]()
    for key, row in rows:
        owner = owner_of(key)
        if owner != person and found:
            yield person, found
            found = []
        person = owner
        found.append(row)
    if found:
        yield person, found


def day(value: Any) -> str | None:
    """A stored time as a day."""
    return f"{time_of(value):%Y-%m-%d}" if value else None
