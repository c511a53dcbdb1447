"""Lists, search and single records. Everything comes from Table Storage; nothing here asks Graph.

Lists in id order are a documented scan of one source's partitions; lists by name one of the look-up partitions; search
and single records read exact partitions and row ranges.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.connectors import KINDS
from shared.connectors.base import Stream
from shared.domain.records import Card, Found, Record, Related, Value
from shared.domain.run import track_of
from shared.domain.write import CARD_COLUMNS
from shared.errors import Invalid, NotFound
from shared.mapping.attribute import Type
from shared.records.cursors import decode, encode
from shared.storage import keys
from shared.storage.config import ConfigStore
from shared.storage.journal import CHANGES
from shared.storage.records import LOOKUP, OUT_OF_SCOPE, RECORDS
from shared.storage.runs import Runs
from shared.storage.tables import Row, Stamped, Tables

NAME_LOOKUP = {"person": "name", "device": "device"}
SEARCH_LOOKUPS = {"person": ("name", "address", "employee"), "device": ("device",)}
_SEARCH_ROWS, _SEARCH_PAGES = 1000, 3  # three look-ups: at most nine requests
_NAME_PAGES = 5


def split_record_id(record_id: str) -> tuple[str, str] | None:
    source, _, object_id = record_id.partition("~")
    good = source.isalnum() and len(record_id) <= 200 and object_id and not set(object_id) & set("|/\\#?")
    return (source, object_id) if good and object_id.isprintable() else None


def _streams(record_type: str) -> dict[str, Stream]:
    return {s.name: s for kind in KINDS.values() for s in kind.streams if s.record_type == record_type}


class Records:
    def __init__(self, tables: Tables, config: ConfigStore, runs: Runs) -> None:
        self._tables, self._config, self._runs = tables, config, runs

    def by_id(self, record_type: str, *, source: str | None, after: str | None, limit: int) -> Found:
        """Cards in id order, of one source or of all."""
        sources = [source] if source else [document.id for document in self._config.all("source")]
        cursor = decode(after) if after else None
        cards: list[Card] = []
        for candidate in sources:
            if cursor and candidate < cursor[0]:
                continue
            start = cursor[1] if cursor and candidate == cursor[0] else None
            cards += self._of_source(record_type, candidate, start, limit + 1 - len(cards))
            if len(cards) > limit:
                break
        more = len(cards) > limit
        cards = cards[:limit]
        return Found(cards, encode(*cards[-1].id.split("~", 1)) if more else None)

    def _of_source(self, record_type: str, source: str, after: str | None, limit: int) -> list[Card]:
        partitions = keys.record_partitions(source, record_type)
        cursor = (keys.record_partition(source, record_type, after), f"{after}|~") if after else None
        cards: list[Card] = []
        # An object has one row for each stream that describes it; rows of one object are neighbours.
        while True:
            rows = self._tables.scan(
                RECORDS, partitions, after=cursor, limit=limit * 2, select=("PartitionKey", "RowKey", *CARD_COLUMNS)
            )
            for stamped in rows:
                object_id = stamped.row["RowKey"].split("|", 1)[0]
                if not cards or cards[-1].id != f"{source}~{object_id}":
                    if len(cards) == limit:
                        return cards
                    cards.append(_card(source, object_id, stamped.row))
            if len(rows) < limit * 2:
                return cards
            cursor = (rows[-1].row["PartitionKey"], rows[-1].row["RowKey"])

    def by_name(self, record_type: str, *, source: str | None, after: str | None, limit: int) -> Found:
        """Cards in the order of their folded display names: a documented scan of the look-up table."""
        attribute = NAME_LOOKUP[record_type]
        cursor = decode(after) if after else None
        cards: list[Card] = []
        for _ in range(_NAME_PAGES):
            rows = self._tables.scan(LOOKUP, (f"{attribute}|", f"{attribute}|~"), after=cursor, limit=limit + 1)
            for number, stamped in enumerate(rows):
                row = stamped.row
                card = _card(row["Source"], row["ObjectId"], row)
                if (source is None or row["Source"] == source) and (not cards or cards[-1].id != card.id):
                    cards.append(card)
                cursor = (row["PartitionKey"], row["RowKey"])
                if len(cards) == limit:
                    more = number + 1 < len(rows) or len(rows) > limit
                    return Found(cards, encode(*cursor) if more else None)
            if len(rows) <= limit:
                return Found(cards, None)
        return Found(cards, encode(*cursor) if cursor else None)

    def search(self, record_type: str, text: str, *, source: str | None, limit: int) -> Found:
        """Cards whose display name, sign-in name, mail or employee id begins with the text: one request a look-up."""
        folded = keys.fold(text)
        if len(folded) < 2:
            raise Invalid("The search text needs at least two characters.")
        found: dict[str, Card] = {}
        for attribute in SEARCH_LOOKUPS[record_type]:
            partition = keys.lookup_partition(attribute, folded)
            start, end = keys.lookup_range(folded)
            for _ in range(_SEARCH_PAGES):
                rows = self._tables.query(LOOKUP, partition, (start, end), limit=_SEARCH_ROWS)
                for stamped in rows:
                    card = _card(stamped.row["Source"], stamped.row["ObjectId"], stamped.row)
                    if (source is None or stamped.row["Source"] == source) and _begins(card, folded):
                        found.setdefault(card.id, card)
                if len(rows) < _SEARCH_ROWS or len(found) >= limit:
                    break
                start = rows[-1].row["RowKey"] + "!"
        ordered = sorted(found.values(), key=lambda card: (keys.fold(card.display_name or ""), card.id))
        return Found(ordered[:limit], None)

    def get(self, record_type: str, record_id: str) -> Record:
        """One object: the rows of all streams that describe it, merged."""
        noun = "person" if record_type == "person" else "device"
        parts = split_record_id(record_id)
        rows = self._rows(record_type, *parts) if parts else []
        if not parts or not rows:
            raise self._not_there(record_type, noun, record_id, parts)
        streams = _streams(record_type)
        values: dict[str, Value] = {}
        for stamped in rows:
            _, connector, name = stamped.row["RowKey"].split("|")
            if name in streams:
                values |= self._values(streams[name], connector, stamped.row) if not values else {
                    key: value
                    for key, value in self._values(streams[name], connector, stamped.row).items()
                    if key not in values or values[key].missing
                }  # fmt: skip
        if record_type == "person":
            values |= self._sign_ins(parts, rows[0].row)
        record = Record(
            id=record_id, source_id=parts[0], object_id=parts[1], values=values,
            changed_at=max(_time(stamped.row["ChangedAt"]) for stamped in rows),
            first_seen_at=min(_time(stamped.row["FirstSeenAt"]) for stamped in rows),
        )  # fmt: skip
        if record_type == "person" and (manager := values.get("managerId")) and manager.value:
            record.manager = self._related(parts[0], manager.value)
        if record_type == "device" and (owners := values.get("ownerIds")):
            record.owners = [self._related(parts[0], owner) for owner in (owners.value or [])[:20]]
        return record

    def _not_there(self, record_type: str, noun: str, record_id: str, parts: tuple[str, str] | None) -> NotFound:
        """Somebody who was in the copy is told apart from somebody who never was."""
        if parts:
            partition = keys.record_partition(parts[0], record_type, parts[1])
            last = self._tables.query(CHANGES, partition, keys.prefix_range(f"{parts[1]}|"), limit=1)
            if last and last[0].row["Kind"] in ("removed", "left-scope"):
                row = last[0].row
                what = "is gone" if row["Kind"] == "removed" else "left the collected scope"
                return NotFound(
                    f"The {noun} {row.get('Name') or record_id} {what} since {_time(row['At']):%Y-%m-%d %H:%M} UTC "
                    f"({row.get('Reason')}).",
                    code="gone" if row["Kind"] == "removed" else "out-of-scope",
                    remedy="Its changes are still listed under /changes; tombstones are under /tombstones.",
                )
            stubs = self._tables.query(OUT_OF_SCOPE, partition, keys.prefix_range(f"{parts[1]}|"), limit=1)
            if stubs:
                row = stubs[0].row
                return NotFound(
                    f"The {noun} {record_id} is outside of the collected scope ({row['Reason']}), seen on "
                    f"{_time(row['Since']):%Y-%m-%d %H:%M} UTC.",
                    code="out-of-scope",
                    remedy="The source's domains and excluded groups, or the connector's thresholds, leave it out.",
                )
        return NotFound(f"There is no {noun} with the id {record_id} in the copy.")

    def _sign_ins(self, parts: tuple[str, str], person: Row) -> dict[str, Value]:
        """The activity of a person: a stream of its own, with its own times and its own reasons."""
        source, object_id = parts
        _, connector, stream_name = person["RowKey"].split("|")
        stream = next(
            (k.sign_ins for k in KINDS.values() if k.sign_ins and stream_name in [s.name for s in k.streams]), None
        )
        if stream is None:
            return {}
        state = self._runs.stream(track_of(connector, stream.name), stream.name)
        key = keys.record_row(object_id, connector, stream.name)
        found = self._tables.get(RECORDS, keys.record_partition(source, stream.record_type, object_id), key)
        row = found.row if found else {}
        full = parse_iso(state.full_at) if state.full_at else None
        # A pass that began after we first saw the person and brought nothing: there is no sign-in to know of.
        known = bool(row) or bool(full and full >= _time(person["FirstSeenAt"]))
        missing = None if row else state.missing.get("lastLogonAt") or (None if known else "not-requested")
        values = {}
        for attribute in stream.attributes:
            late = (
                full if attribute.name in stream.not_in_delta else state.completed_at and parse_iso(state.completed_at)
            )
            times = [t for t in (_time(row["ChangedAt"]) if row else None, late or None) if t]
            values[attribute.name] = Value(
                value=None if missing else _plain(row.get(attribute.column), attribute.type), missing=missing,
                note=_activity_note(attribute.name, row, missing), attribute=attribute.source[0], connector_id=connector,
                stream=stream.name, as_of=max(times) if times and not missing else None,
            )  # fmt: skip
        return values

    def _rows(self, record_type: str, source: str, object_id: str, select: Sequence[str] = ()) -> list[Stamped]:
        partition = keys.record_partition(source, record_type, object_id)
        return self._tables.query(RECORDS, partition, keys.prefix_range(f"{object_id}|"), select=select)

    def _related(self, source: str, object_id: str) -> Related:
        rows = self._rows("person", source, object_id, ("RowKey", *CARD_COLUMNS))
        if not rows:
            return Related(id=f"{source}~{object_id}", missing="not-in-copy")
        row = rows[0].row
        return Related(id=f"{source}~{object_id}", display_name=row.get("DisplayName"), mail=row.get("Mail"))

    def _values(self, stream: Stream, connector: str, row: Row) -> dict[str, Value]:
        state = self._runs.stream(connector, stream.name)
        changed = as_of = late = _time(row["ChangedAt"])
        object_id = row["RowKey"].split("|", 1)[0]
        if state.completed_at and not state.many_unseen and object_id not in state.unseen:
            as_of = max(changed, parse_iso(state.completed_at))
            late = max(changed, parse_iso(state.full_at)) if state.full_at else changed
        values = {}
        for attribute in stream.attributes:
            missing = attribute.missing or state.missing.get(attribute.name)
            if not missing and state.attributes and attribute.name not in state.attributes:
                missing = "not-requested"  # mapped since the last complete read
            values[attribute.name] = Value(
                value=None if missing else _plain(row.get(attribute.column), attribute.type),
                missing=missing,
                note=attribute.note if missing else None,
                attribute=attribute.source[0] if attribute.source else None,
                connector_id=connector,
                stream=stream.name,
                as_of=None if missing else late if attribute.name in stream.not_in_delta else as_of,
            )
        return values


def _activity_note(name: str, row: Row, missing: str | None) -> str | None:
    if missing == "not-requested":
        return "Sign-in activity has not been read yet: it has runs of its own."
    if missing:
        return "Microsoft Graph denied sign-in activity; the next run asks again."
    if name == "lastLogonAt" and row.get("LastLogonKind") == "attempt":
        return "A sign-in attempt, which may have failed: no successful sign-in is known."
    return None


def _card(source: str, object_id: str, row: Row) -> Card:
    return Card(
        id=f"{source}~{object_id}", display_name=row.get("DisplayName"), sign_in_name=row.get("SignInName"),
        mail=row.get("Mail"), employee_id=row.get("EmployeeId"), enabled=row.get("Enabled"),
    )  # fmt: skip


def _begins(card: Card, folded: str) -> bool:
    """Whether any of the searched values begins with the text: keys hold the first 60 bytes only."""
    values = (card.display_name, card.sign_in_name, card.mail, card.employee_id)
    return any(value and keys.fold(value).startswith(folded) for value in values)


def _plain(value: Any, kind: Type) -> Any:
    if value is None:
        return None
    if kind is Type.JSON:
        return orjson.loads(value)
    return _time(value).isoformat().replace("+00:00", "Z") if kind is Type.TIME else value


def _time(value: Any) -> datetime:
    return value if isinstance(value, datetime) else parse_iso(str(value))
