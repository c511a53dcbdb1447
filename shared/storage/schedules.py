"""The table Schedule: one row a connector, in one partition. The row is the truth about what is due and what runs."""

from dataclasses import dataclass, replace
from typing import Any

from shared.storage import keys
from shared.storage.tables import Insert, Put, Row, RowChanged, RowExists, Tables

SCHEDULE = "Schedule"


@dataclass(frozen=True)
class ScheduleRow:
    """`next_due` ISO 8601 or empty; `run` the run that goes on or empty; `revision` of the connector it was made from;
    `anchor`: when the schedule was saved, `fingerprint` what it said; `hinted_at`: when the run's message was last sent.
    """

    connector: str
    revision: int
    active: bool
    next_due: str
    anchor: str
    fingerprint: str = ""
    run: str = ""
    trigger: str = ""
    requested_by: str = ""
    hinted_at: str = ""
    etag: str = ""

    def row(self) -> Row:
        return {
            "PartitionKey": keys.SCHEDULE_PARTITION, "RowKey": self.connector, "Revision": self.revision,
            "Active": self.active, "NextDue": self.next_due, "Anchor": self.anchor,
            "Fingerprint": self.fingerprint, "Run": self.run,
            "Trigger": self.trigger, "RequestedBy": self.requested_by, "HintedAt": self.hinted_at,
        }  # fmt: skip


def _parse(row: dict[str, Any], etag: str) -> ScheduleRow:
    return ScheduleRow(
        connector=row["RowKey"], revision=row["Revision"], active=row["Active"], next_due=row["NextDue"],
        anchor=row["Anchor"], fingerprint=row["Fingerprint"], run=row["Run"], trigger=row["Trigger"], requested_by=row["RequestedBy"],
        hinted_at=row["HintedAt"], etag=etag,
    )  # fmt: skip


class Schedules:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def all(self) -> list[ScheduleRow]:
        """Every connector's row: one partition."""
        found = self._tables.query(SCHEDULE, keys.SCHEDULE_PARTITION, ("", "~"))
        return [_parse(stamped.row, stamped.etag) for stamped in found]

    def get(self, connector: str) -> ScheduleRow | None:
        found = self._tables.get(SCHEDULE, keys.SCHEDULE_PARTITION, connector)
        return _parse(found.row, found.etag) if found else None

    def save(self, row: ScheduleRow) -> ScheduleRow | None:
        """Writes the row if it is still as read (or not there yet, without an ETag); None where somebody was faster."""
        try:
            operation = Put(row.row(), row.etag) if row.etag else Insert(row.row())
            (etag,) = self._tables.transaction(SCHEDULE, [operation])
        except (RowChanged, RowExists):
            return None
        return replace(row, etag=etag or "")

    def remove(self, connector: str) -> None:
        self._tables.delete(SCHEDULE, keys.SCHEDULE_PARTITION, connector)
