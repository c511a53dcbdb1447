"""The table Schedule: one row a track, in one partition. The row is the truth about what is due and what runs."""

from dataclasses import dataclass, fields, replace
from typing import Any

from shared.storage import keys
from shared.storage.tables import Insert, Put, Row, RowChanged, RowExists, Tables

SCHEDULE = "Schedule"


@dataclass(frozen=True)
class ScheduleRow:
    """`next_due` ISO 8601 or empty; `run` the run that goes on or empty; `revision` of the connector it was made from;
    `anchor`: when the schedule was saved, `fingerprint` what it said; `hinted_at`: when the run's message was last sent;
    `full`: the run reads everything, `want_full`: the next one shall; `failures`: runs in a row that failed,
    `quarantined_at`: since when that slows the schedule down, `failed_with`: the credential it failed with.
    """

    track: str
    revision: int
    active: bool
    next_due: str
    anchor: str
    fingerprint: str = ""
    run: str = ""
    trigger: str = ""
    requested_by: str = ""
    hinted_at: str = ""
    full: bool = False
    want_full: bool = False
    failures: int = 0
    failure_code: str = ""
    failure_message: str = ""
    failure_remedy: str = ""
    failed_with: str = ""
    quarantined_at: str = ""
    etag: str = ""

    def row(self) -> Row:
        return {"PartitionKey": keys.SCHEDULE_PARTITION, "RowKey": self.track} | {
            column: getattr(self, name) for name, column in _COLUMNS.items()
        }


_COLUMNS = {
    field.name: field.name.title().replace("_", "")
    for field in fields(ScheduleRow)
    if field.name not in ("track", "etag")
}


def _parse(row: dict[str, Any], etag: str) -> ScheduleRow:
    values = {name: row[column] for name, column in _COLUMNS.items() if column in row}
    return ScheduleRow(track=row["RowKey"], etag=etag, **values)


class Schedules:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def all(self) -> list[ScheduleRow]:
        """Every track's row: one partition."""
        found = self._tables.query(SCHEDULE, keys.SCHEDULE_PARTITION, ("", "~"))
        return [_parse(stamped.row, stamped.etag) for stamped in found]

    def get(self, track: str) -> ScheduleRow | None:
        found = self._tables.get(SCHEDULE, keys.SCHEDULE_PARTITION, track)
        return _parse(found.row, found.etag) if found else None

    def save(self, row: ScheduleRow) -> ScheduleRow | None:
        """Writes the row if it is still as read (or not there yet, without an ETag); None where somebody was faster."""
        try:
            operation = Put(row.row(), row.etag) if row.etag else Insert(row.row())
            (etag,) = self._tables.transaction(SCHEDULE, [operation])
        except (RowChanged, RowExists):
            return None
        return replace(row, etag=etag or "")

    def remove(self, track: str) -> None:
        self._tables.delete(SCHEDULE, keys.SCHEDULE_PARTITION, track)
