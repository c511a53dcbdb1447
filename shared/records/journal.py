"""The change journal, as the API shows it: of one object, and by time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.domain.record_type import RecordType
from shared.domain.records import Change, FieldChange
from shared.errors import Invalid, NotFound
from shared.names import CHANGES
from shared.records.cursors import decode, encode
from shared.storage import keys
from shared.storage.config import ConfigStore
from shared.storage.journal import month_table
from shared.storage.layout import Row
from shared.storage.tables import Tables


class Journal:
    """`days`: how long it is kept."""

    def __init__(self, tables: Tables, config: ConfigStore, days: int) -> None:
        self._tables, self._config = tables, config
        self._months = days // 28 + 2

    def of_object(
        self, record_type: RecordType, record_id: str, *, after: str | None, limit: int
    ) -> tuple[list[Change], str | None]:
        """Newest first. Raises NotFound for an id that can't be one; an object without changes has an empty list."""
        from shared.records.service import split_record_id

        parts = split_record_id(record_id)
        if parts is None:
            raise NotFound(f"There is no {record_type.title.lower()} with the id {record_id}.")
        source, object_id = parts
        start, end = keys.prefix_range(f"{object_id}|")
        if after:
            _, start = decode(after)
            start += "\x7f"
        partition = keys.record_partition(source, record_type.name, object_id)
        rows = self._tables.query(CHANGES, partition, (start, end), limit=limit + 1)
        changes = [_change(stamped.row) for stamped in rows[:limit]]
        more = len(rows) > limit
        return changes, encode("", rows[limit - 1].row["RowKey"]) if more else None

    def since(
        self, moment: datetime, now: datetime, *, source: str | None, after: str | None, limit: int
    ) -> tuple[list[Change], str | None]:
        """Oldest first, by source and hour: a documented scan of the months from the moment on."""
        sources = [source] if source else [document.id for document in self._config.all("source")]
        tables = _months(moment, now)
        if len(tables) > self._months:
            raise Invalid(
                "since lies further back than the journal is kept.", remedy=f"Ask for at most {self._months} months."
            )
        at = decode(after) if after else None
        found: list[Row] = []
        last = ""
        for candidate in sources:
            for table in tables:
                place = f"{candidate}|{table}"
                if at and place < at[0]:
                    continue
                cursor = _cursor(at[1]) if at and place == at[0] else None
                rows = self._read(table, candidate, moment, cursor, limit + 1 - len(found))
                for row in rows:
                    if len(found) == limit:
                        return [_change(r) for r in found], last
                    found.append(row)
                    last = encode(place, f"{row['PartitionKey']} {row['RowKey']}")
        return [_change(row) for row in found], None

    def _read(self, table: str, source: str, moment: datetime, cursor: tuple[str, str] | None, limit: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < limit:
            page = self._tables.scan(table, keys.change_hours(source, moment), after=cursor, limit=limit)
            rows += [stamped.row for stamped in page if _time(stamped.row["At"]) >= moment]
            if len(page) < limit:
                break
            cursor = (page[-1].row["PartitionKey"], page[-1].row["RowKey"])
        return rows[:limit]


def _cursor(text: str) -> tuple[str, str]:
    partition, _, row = text.partition(" ")
    return partition, row


def _months(first: datetime, last: datetime) -> list[str]:
    tables = []
    try:
        month = first.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    except OverflowError:
        raise Invalid("since is not a time for which there can be changes.") from None
    while month <= last:
        tables.append(month_table(month))
        month = (month + timedelta(days=32)).replace(day=1)
    return tables


def _change(row: Row) -> Change:
    fields: dict[str, Any] = orjson.loads(row["Fields"])
    whole = row["Kind"] == "configuration"
    return Change(
        id=None if whole else f"{row['Source']}~{row['ObjectId']}",
        source_id=row["Source"], record_type=row["RecordType"], kind=row["Kind"], at=_time(row["At"]), run_id=row["Run"],
        connector_id=row["Connector"], stream=row["Stream"], name=row.get("Name") or None, reason=row.get("Reason") or None,
        fields={
            name if whole else name[0].lower() + name[1:]: FieldChange(before=_value(before), after=_value(after))
            for name, (before, after) in fields.items()
        },
    )  # fmt: skip


def _value(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else parse_iso(str(value))
