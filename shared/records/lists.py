"""Lists that show mapped values: chosen columns, a filter, who lacks a value and why; in id order, a documented scan.

A page reads MOST_PAGES times ROWS rows at most, with what other streams add to them; besides two requests for each stream of a
connector that wrote some of them. Where that is not enough to fill it, it is shorter, and goes on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.clock import parse_iso
from shared.connectors.base import Kind, Stream
from shared.connectors.registry import Registry
from shared.domain.checkpoint import StreamState
from shared.domain.columns import malformed_in
from shared.domain.record_type import RecordType
from shared.domain.records import RecordRow
from shared.domain.run import track_of
from shared.domain.value_type import Type
from shared.errors import FieldError, Invalid
from shared.mapping.attribute import Attribute
from shared.names import RECORDS
from shared.records.cursors import decode, encode
from shared.records.filters import Filter, parse
from shared.records.merging import plain, time_of
from shared.storage import keys
from shared.storage.config import ConfigStore
from shared.storage.layout import Row
from shared.storage.runs import Runs
from shared.storage.tables import Tables

ROWS, MOST_PAGES = 500, 4
Cell = tuple[Any, str | None]
"""A value, and why it is missing."""


@dataclass(frozen=True)
class _Written:
    """A stream as the mapping made it that wrote the rows, with what is kept of it."""

    stream: Stream
    state: StreamState
    attributes: dict[str, Attribute]


@dataclass
class _Known:
    """What one answer needs to know of connectors, each read once."""

    registry: Registry
    config: ConfigStore
    runs: Runs
    wrote: Callable[[Kind, str], Kind]
    record_type: RecordType
    _found: dict[str, list[_Written]] = field(default_factory=dict)

    def written(self, connector: str) -> list[_Written]:
        """The streams of a connector that write this type of record: the leading ones first."""
        if connector not in self._found:
            self._found[connector] = list(self._read(connector))
        return self._found[connector]

    def _read(self, connector: str) -> Iterator[_Written]:
        document = self.config.get("connector", connector)
        kind = self.registry.known_kind_of(document) if document else None
        kinds = [kind] if kind else list(self.registry.kinds.values())
        for one in kinds:
            for declared in sorted(one.streams, key=lambda stream: bool(stream.leader)):
                if declared.record_type == self.record_type:
                    track = track_of(connector, one.job_of(declared.name).name if kind else "")
                    state = self.runs.stream(track, declared.name)
                    stream = self.wrote(one, state.version).stream(declared.name) or declared
                    yield _Written(stream, state, {attribute.name: attribute for attribute in stream.attributes})


class Lists:
    """`wrote` gives a kind as the mapping made it that a stream's records were written by."""

    def __init__(
        self, registry: Registry, tables: Tables, config: ConfigStore, runs: Runs, wrote: Callable[[Kind, str], Kind]
    ) -> None:
        self._registry, self._tables, self._config, self._runs, self._wrote = registry, tables, config, runs, wrote

    def page(
        self,
        record_type: RecordType,
        *,
        select: Sequence[str],
        condition: str | None,
        missing: str | None,
        source: str | None,
        after: str | None,
        limit: int,
    ) -> tuple[list[RecordRow], str | None]:
        """Raises Invalid for names that no mapping of the listed records has, and for a filter that can't be understood."""
        known = _Known(self._registry, self._config, self._runs, self._wrote, record_type)
        sources = [source] if source else [document.id for document in self._config.all("source")]
        types = self._types(known, record_type, sources)
        if unknown := [name for name in select if name not in types]:
            fields = tuple(FieldError("select", "unknown", f"there is no attribute {name}") for name in unknown)
            raise Invalid("There is no such attribute.", fields=fields)
        asked = parse(condition, types) if condition else None
        shown = list(select) or [name for name, column in _card(record_type) if name in types and column]
        wanted = _Wanted(shown, asked, missing, frozenset(shown) | (asked.names if asked else frozenset()))
        return self._pages(known, record_type, sources, decode(after) if after else None, limit, wanted)

    def collected(self, record_type: RecordType, source: str) -> list[Attribute]:
        """The attributes that the connectors of a source collect, as their mappings name them."""
        known = _Known(self._registry, self._config, self._runs, self._wrote, record_type)
        return list({attribute.name: attribute for attribute in self._collected(known, [source])}.values())

    def _collected(self, known: _Known, sources: Sequence[str]) -> Iterator[Attribute]:
        for document in self._config.all("connector"):
            if document.source_id in sources:
                for written in known.written(document.id):
                    yield from written.attributes.values()

    def _types(self, known: _Known, record_type: RecordType, sources: Sequence[str]) -> dict[str, Type]:
        """What can be named: what the mappings have that wrote the records, and those that will."""
        found = {
            attribute.name: attribute.type
            for kind in self._registry.kinds.values()
            for stream in kind.streams
            if stream.record_type == record_type
            for attribute in stream.attributes
        }
        return found | {attribute.name: attribute.type for attribute in self._collected(known, sources)}

    def _pages(
        self,
        known: _Known,
        record_type: RecordType,
        sources: Sequence[str],
        cursor: tuple[str, str] | None,
        limit: int,
        wanted: "_Wanted",
    ) -> tuple[list[RecordRow], str | None]:
        found: list[RecordRow] = []
        pages = 0
        for source in sources:
            if cursor and source < cursor[0]:
                continue
            after = (cursor[1] or None) if cursor and source == cursor[0] else None
            while True:
                if pages == MOST_PAGES:
                    return found, encode(source, after or "")
                pages += 1
                objects, more = self._objects(known, record_type, source, after, wanted)
                for object_id, cells in objects:
                    if wanted.takes(cells):
                        if len(found) == limit:
                            return found, encode(source, after or "")
                        found.append(wanted.row(f"{source}~{object_id}", cells))
                    after = object_id
                if not more:
                    break
        return found, None

    def _objects(
        self, known: _Known, record_type: RecordType, source: str, after: str | None, wanted: "_Wanted"
    ) -> tuple[list[tuple[str, dict[str, Cell]]], bool]:
        """Objects after an id, each with the cells that are wanted; and whether there are more."""
        rows = self._rows(source, record_type.name, after)
        more = len(rows) == ROWS
        grouped: dict[str, list[Row]] = {}
        for row in rows:
            grouped.setdefault(str(row["RowKey"]).split("|", 1)[0], []).append(row)
        if more and len(grouped) > 1:  # the rows of the last one may go on in the next page
            grouped.popitem()
        added = self._added(known, source, after, grouped, wanted)
        return [(object_id, _cells(known, object_id, own, added, wanted)) for object_id, own in grouped.items()], more

    def _rows(self, source: str, partition: str, after: str | None) -> list[Row]:
        cursor = (keys.record_partition(source, partition, after), f"{after}|~") if after else None
        found = self._tables.scan(RECORDS, keys.record_partitions(source, partition), after=cursor, limit=ROWS)
        return [stamped.row for stamped in found]

    def _added(
        self, known: _Known, source: str, after: str | None, grouped: Mapping[str, list[Row]], wanted: "_Wanted"
    ) -> dict[tuple[str, str], Row]:
        """Rows of streams that add to these objects, by object and `connector|stream`."""
        connectors = {str(row["RowKey"]).split("|")[1] for rows in grouped.values() for row in rows}
        partitions = {
            written.stream.partition
            for connector in connectors
            for written in known.written(connector)
            if written.stream.leader and (wanted.missing or not wanted.names.isdisjoint(written.attributes))
        }
        last = list(grouped)[-1] if grouped else ""
        found: dict[tuple[str, str], Row] = {}
        for partition in partitions:
            place = after
            while True:
                rows = self._rows(source, partition, place)
                for row in rows:
                    object_id, _, rest = str(row["RowKey"]).partition("|")
                    place = object_id
                    if object_id in grouped:
                        found[object_id, rest] = row
                if len(rows) < ROWS or place is None or _place(source, place) > _place(source, last):
                    break
        return found


@dataclass(frozen=True)
class _Wanted:
    """What is shown of which records."""

    shown: Sequence[str]
    condition: Filter | None
    missing: str | None
    names: frozenset[str]

    def takes(self, cells: Mapping[str, Cell]) -> bool:
        if self.missing and not any(why == self.missing for _, why in cells.values()):
            return False

        def known(name: str) -> tuple[Any, bool]:
            value, why = cells.get(name, (None, "not-requested"))
            return value, why is not None

        return self.condition is None or self.condition.finds(known)

    def row(self, record_id: str, cells: Mapping[str, Cell]) -> RecordRow:
        names = (
            self.shown
            if not self.missing
            else [n for n, (_, why) in cells.items() if n in self.shown or why == self.missing]
        )
        chosen = {name: cells.get(name, (None, "not-requested")) for name in names}
        return RecordRow(
            id=record_id, values={name: value for name, (value, why) in chosen.items() if why is None},
            missing={name: why for name, (_, why) in chosen.items() if why is not None},
        )  # fmt: skip


def _place(source: str, object_id: str) -> tuple[str, str]:
    """Where an object lies in the order of a scan."""
    return keys.record_partition(source, "", object_id), object_id


def _card(record_type: RecordType) -> list[tuple[str, str]]:
    return [(column[:1].lower() + column[1:], column) for _, column in record_type.card]


def _cells(
    known: _Known, object_id: str, own: Sequence[Row], added: Mapping[tuple[str, str], Row], wanted: _Wanted
) -> dict[str, Cell]:
    """The wanted values of one object; all of them where somebody asks who lacks any. The first row that has one counts."""
    found: dict[str, Cell] = {}
    for leader in own:
        _, connector, name = str(leader["RowKey"]).split("|")
        for written in known.written(connector):
            stream = written.stream
            if name not in (stream.name, stream.leader):
                continue
            row = added.get((object_id, f"{connector}|{stream.name}"), {}) if stream.leader else leader
            for attribute in written.attributes.values():
                if wanted.missing or attribute.name in wanted.names:
                    before = found.get(attribute.name)
                    if before is None or before[1]:
                        found[attribute.name] = _cell(written, attribute, row, leader)
    return found


def _cell(written: _Written, attribute: Attribute, row: Row, leader: Row) -> Cell:
    """As the single record shows it."""
    state, stream = written.state, written.stream
    if attribute.name in malformed_in(row):
        return None, "malformed"
    if attribute.missing:
        return None, attribute.missing
    if state.attributes and attribute.name not in state.attributes:
        return None, state.missing.get(attribute.name) or "not-requested"
    if stream.leader:
        full = parse_iso(state.full_at) if state.full_at else None
        there = bool(row) or bool(full and full >= time_of(leader["FirstSeenAt"]))
        why = None if row else state.missing.get(attribute.name) or (None if there else "not-requested")
    else:
        why = state.missing.get(attribute.name)
    value, readable = plain(row.get(attribute.column), attribute.type)
    return (None, why) if why else (value, None if readable else "not-requested")
