"""Bulk storage as one slice of a run uses it: records, holds, the journal of configuration, and rows that are to go."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from shared.clock import counted_down, parse_iso
from shared.domain.retention import Retention
from shared.domain.write import Authorship, Home, Intent
from shared.names import AUDIT, CHANGES, CONFIG, HOLDS, LOOKUP, OUT_OF_SCOPE, PLANS, RECORDS, STATE, TOMBSTONES
from shared.storage import journal, keys, once
from shared.storage.bulk import BulkTables
from shared.storage.holds import ALL, HoldStore
from shared.storage.journal import month_table
from shared.storage.records import RecordStore, no_intent
from shared.storage.runs import CANCEL
from shared.storage.sweep import ANYTHING, Dropped, Sweep
from shared.storage.tables import Tables
from shared.tasks import RightOfWay


class Session:
    """Belongs to one event loop; whoever made it closes it."""

    def __init__(self, bulk: BulkTables, tables: Tables) -> None:
        self._bulk, self._tables = bulk, tables

    @property
    def guard(self) -> Callable[[], None]:
        return self._bulk.guard

    @guard.setter
    def guard(self, guard: Callable[[], None]) -> None:
        self._bulk.guard = guard

    @property
    def way(self) -> RightOfWay:
        return self._bulk.way

    @way.setter
    def way(self, way: RightOfWay) -> None:
        self._bulk.way = way

    def records(
        self, home: Home, author: Authorship, intend: Callable[[Intent], Awaitable[None]] | None = None
    ) -> RecordStore:
        return RecordStore(self._bulk, home, author, intend or no_intent)

    def holds(self, connector: str, stream: str) -> HoldStore:
        return HoldStore(self._bulk, connector, stream)

    async def columns(self, home: Home, columns: Sequence[str]) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
        """Some columns of all records of a home, with their object ids, in id order (a documented scan)."""
        suffix = f"|{home.connector}|{home.stream}"
        partitions = keys.record_partitions(home.source, home.partition)
        async for page in self._bulk.scan(RECORDS, partitions, ("RowKey", *columns)):
            yield [(row["RowKey"][: -len(suffix)], row) for row in page if row["RowKey"].endswith(suffix)]

    async def note(self, home: Home, run: str, at: datetime, name: str, fields: Mapping[str, tuple[Any, Any]]) -> None:
        """One entry of the journal for a changed mapping or scope, in place of one for each record."""
        by = journal.Author(home.source, home.record_type.name, home.connector, home.stream, run, at)
        _, by_time = journal.rows(by, journal.Entry("configuration", "configuration", 0, 0, fields, name))
        await self._bulk.put(month_table(at), [by_time])

    async def belongings(self, source: str, connector: str, tracks: Sequence[str]) -> list[Sweep]:
        """Everything of a connector."""
        of_source = keys.source_range(source)

        def by_key(row: dict[str, Any]) -> bool:
            return str(row["RowKey"]).split("|")[1:2] == [connector]

        def by_column(row: dict[str, Any]) -> bool:
            return row.get("Connector") == connector

        def every(_row: dict[str, Any]) -> bool:
            return True

        months = [(table, of_source, by_column) for table in await asyncio.to_thread(self._tables.names, CHANGES)]
        parts = [
            *months,
            (TOMBSTONES, of_source, by_column),
            (HOLDS, keys.source_range(connector), every),
            (LOOKUP, ANYTHING, lambda row: row["RowKey"].endswith(f"!{connector}")),
            (OUT_OF_SCOPE, of_source, by_key),
            (RECORDS, of_source, by_key),
            *((STATE, (track, track + "!"), every) for track in tracks),
        ]
        return [Sweep(self._bulk, table, span, wanted) for table, span, wanted in parts]

    async def outdated(self, keep: Retention, now: datetime) -> list[Sweep | Dropped]:
        """Closed runs with their receipts, tombstones, undecided holds, the journal and the audit trail, each older than its days."""
        oldest_run = counted_down(now - timedelta(days=keep.runs_days))
        last_day = f"{now - timedelta(days=keep.tombstones_days):%Y%m%d}"
        held_since = now - timedelta(days=keep.holds_days)
        journal_since = now - timedelta(days=keep.journal_days)
        oldest_change = counted_down(journal_since)
        audit_since = now - timedelta(days=keep.audit_days)
        months = [table for table in await asyncio.to_thread(self._tables.names, CHANGES) if table != CHANGES]
        decided = await self._decided()

        def forgotten(row: dict[str, Any]) -> bool:
            done = row["RowKey"] == ALL or row.get("Decision") or row["Run"] in decided.get(row["PartitionKey"], ())
            return not done and parse_iso(row["Since"]) < held_since

        return [
            Sweep(self._bulk, STATE, ANYTHING, lambda row: _old_run(row["RowKey"], oldest_run)),
            Sweep(self._bulk, TOMBSTONES, ANYTHING, lambda row: row["PartitionKey"].rpartition("|")[2] < last_day),
            Sweep(self._bulk, HOLDS, ANYTHING, forgotten),
            *(Dropped(self._tables, table) for table in months if table < month_table(journal_since)),
            Sweep(self._bulk, CHANGES, ANYTHING, lambda row: row["RowKey"].split("|")[1] > oldest_change),
            Sweep(self._bulk, AUDIT, ANYTHING, lambda row: _old_day(row["PartitionKey"], audit_since)),
            Sweep(self._bulk, PLANS, ANYTHING, lambda row: keys.plan_moment(row["RowKey"]) > counted_down(audit_since)),
            Sweep(
                self._bulk, CONFIG, (keys.CONFIG_PARTITION, keys.CONFIG_PARTITION + "~"),
                lambda row: row["RowKey"].startswith(keys.HISTORY) and parse_iso(row["At"]) < audit_since,
            ),
            Sweep(
                self._bulk, STATE, (once.PARTITION, once.PARTITION + "~"),
                lambda row: parse_iso(row["At"]) < now - once.KEPT,
            ),
        ]  # fmt: skip

    async def _decided(self) -> dict[str, Any]:
        """Runs about whose holds a person decided as a whole, by partition."""
        found: dict[str, Any] = {}
        async for page in self._bulk.scan(HOLDS, ANYTHING, ("PartitionKey", "RowKey", "Runs")):
            found |= {row["PartitionKey"]: orjson.loads(row["Runs"]) for row in page if row["RowKey"] == ALL}
        return found

    async def close(self) -> None:
        await self._bulk.close()


def _old_day(partition: str, since: datetime) -> bool:
    """A day of an audit trail; its pointer and the counted refusals have no day."""
    _, _, day = partition.rpartition("|")
    return day.isdecimal() and day < f"{since:%Y%m%d}"


def _old_run(key: str, oldest: str) -> bool:
    kind, _, moment = key.partition("|")
    return kind in ("run", "receipt", CANCEL.rstrip("|")) and moment[: len(oldest)] > oldest
