"""The table Schedule: one row a track, in one partition. The row is the truth about what is due and what runs."""

from dataclasses import fields, replace
from typing import Any

from shared.domain.run import track_of
from shared.domain.schedule_row import ScheduleRow
from shared.names import SCHEDULE
from shared.storage import keys
from shared.storage.layout import Row
from shared.storage.tables import Insert, Put, RowChanged, RowExists, Tables

_COLUMNS = {
    field.name: field.name.title().replace("_", "")
    for field in fields(ScheduleRow)
    if field.name not in ("track", "etag")
}


def _row(row: ScheduleRow) -> Row:
    return {"PartitionKey": keys.SCHEDULE_PARTITION, "RowKey": row.track} | {
        column: getattr(row, name) for name, column in _COLUMNS.items()
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

    def of(self, connector: str) -> list[ScheduleRow]:
        """The rows of all of a connector's jobs that ever ran, or are to run."""
        found = self._tables.query(SCHEDULE, keys.SCHEDULE_PARTITION, keys.prefix_range(track_of(connector, "")))
        return [_parse(stamped.row, stamped.etag) for stamped in found]

    def get(self, track: str) -> ScheduleRow | None:
        found = self._tables.get(SCHEDULE, keys.SCHEDULE_PARTITION, track)
        return _parse(found.row, found.etag) if found else None

    def save(self, row: ScheduleRow) -> ScheduleRow | None:
        """Writes the row if it is still as read (or not there yet, without an ETag); None where somebody was faster."""
        try:
            operation = Put(_row(row), row.etag) if row.etag else Insert(_row(row))
            (etag,) = self._tables.transaction(SCHEDULE, [operation])
        except (RowChanged, RowExists):
            return None
        return replace(row, etag=etag or "")

    def remove(self, track: str) -> None:
        self._tables.delete(SCHEDULE, keys.SCHEDULE_PARTITION, track)
