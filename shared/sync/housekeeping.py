"""Runs that remove rows: everything of a deleted connector, and what is older than the owner wants to keep.

Each table is gone through from its beginning; what a slice removed the next one does not find any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.domain.run import track_of
from shared.graph.answers import Postponed
from shared.storage import keys
from shared.storage.bulk import BulkTables
from shared.storage.holds import ALL, HOLDS
from shared.storage.journal import CHANGES, month_table
from shared.storage.lease import STATE
from shared.storage.records import LOOKUP, OUT_OF_SCOPE, RECORDS, TOMBSTONES
from shared.storage.schedules import Schedules
from shared.sync.plan import SliceOver
from shared.sync.slice import Slice

_ANYTHING = ("", "~")
Wanted = Callable[[dict[str, Any]], bool]


async def delete(work: Slice) -> None:
    """Every row of the connector, then the connector itself."""
    services, connector = work.services, work.run.connector_id
    document = await asyncio.to_thread(services.config.get, "connector", connector)
    if document is None:
        return
    schedules = Schedules(services.tables)
    for task in ("directory", "sign-ins"):
        row = await asyncio.to_thread(schedules.get, track_of(connector, task))
        run = await asyncio.to_thread(services.runs.get, row.run) if row and row.run else None
        if run and not run.state.closed:
            raise Postponed(10)  # it was asked to stop; nobody may write behind us
    source = document.body["sourceId"]
    bulk = services.bulk()
    bulk.guard = work.lease.guard
    try:
        removal = _Removal(work, bulk)
        for table, span, wanted in await _belongings(work, source, connector):
            await removal.of(table, span, wanted)
    finally:
        await bulk.close()
    for task in ("directory", "sign-ins"):
        await asyncio.to_thread(schedules.remove, track_of(connector, task))
    await asyncio.to_thread(services.config.delete, document)


async def _belongings(work: Slice, source: str, connector: str) -> list[tuple[str, tuple[str, str], Wanted]]:
    of_source = keys.source_range(source)
    months = await asyncio.to_thread(work.services.tables.names, CHANGES)
    by_key: Wanted = lambda row: row["RowKey"].split("|")[1:2] == [connector]  # noqa: E731
    by_column: Wanted = lambda row: row.get("Connector") == connector  # noqa: E731
    by_end: Wanted = lambda row: row["RowKey"].endswith(f"!{connector}")  # noqa: E731
    every: Wanted = lambda _row: True  # noqa: E731
    own = [(table, of_source, by_column) for table in months]
    return [
        *own,
        (TOMBSTONES, of_source, by_column),
        (HOLDS, keys.source_range(connector), every),
        (LOOKUP, _ANYTHING, by_end),
        (OUT_OF_SCOPE, of_source, by_key),
        (RECORDS, of_source, by_key),
        (STATE, (connector, connector + "!"), every),
        (STATE, (track_of(connector, "sign-ins"), track_of(connector, "sign-ins") + "!"), every),
    ]


async def purge(work: Slice) -> None:
    """Closed runs with their receipts, tombstones, undecided holds and the journal, each older than its days."""
    services, now = work.services, work.clock.now()
    keep = services.keep
    bulk = services.bulk()
    bulk.guard = work.lease.guard
    try:
        removal = _Removal(work, bulk)
        oldest_run = keys.inverted(now - timedelta(days=keep.runs_days))
        await removal.of(STATE, _ANYTHING, lambda row: _old_run(row["RowKey"], oldest_run))
        last_day = f"{now - timedelta(days=keep.tombstones_days):%Y%m%d}"
        await removal.of(TOMBSTONES, _ANYTHING, lambda row: row["PartitionKey"].rpartition("|")[2] < last_day)
        held_since = now - timedelta(days=keep.holds_days)
        general = {
            row["PartitionKey"]: orjson.loads(row["Runs"]) async for row in _rows(bulk, HOLDS) if row["RowKey"] == ALL
        }

        def forgotten(row: dict[str, Any]) -> bool:
            decided = row["RowKey"] == ALL or row.get("Decision") or row["Run"] in general.get(row["PartitionKey"], ())
            return not decided and parse_iso(row["Since"]) < held_since

        await removal.of(HOLDS, _ANYTHING, forgotten)
        journal_since = now - timedelta(days=keep.journal_days)
        oldest_change = keys.inverted(journal_since)
        for table in await asyncio.to_thread(services.tables.names, CHANGES):
            if table != CHANGES and table < month_table(journal_since):
                work.run.working_on = table
                await asyncio.to_thread(services.tables.drop, table)
        await removal.of(CHANGES, _ANYTHING, lambda row: row["RowKey"].split("|")[1] > oldest_change)
    finally:
        await bulk.close()


async def _rows(bulk: BulkTables, table: str) -> AsyncIterator[dict[str, Any]]:
    async for page in bulk.scan(table, _ANYTHING, ("PartitionKey", "RowKey", "Runs")):
        for row in page:
            yield row


def _old_run(key: str, oldest: str) -> bool:
    kind, _, moment = key.partition("|")
    return kind in ("run", "receipt", "cancel") and moment[: len(oldest)] > oldest


class _Removal:
    """Removes rows as they are found, with progress and within the slice."""

    def __init__(self, work: Slice, bulk: BulkTables) -> None:
        self._work, self._bulk = work, bulk
        self._step = 0

    async def of(self, table: str, span: tuple[str, str], wanted: Wanted) -> None:
        """One step: a table, from where an earlier slice stopped."""
        run, self._step = self._work.run, self._step + 1
        if self._step <= run.step:
            return
        run.working_on = table
        first = run.cursor or span[0]
        select = ("PartitionKey", "RowKey", "Connector", "Since", "At", "Decision", "Run")
        async for page in self._bulk.scan(table, (first, span[1]), select):
            found = [(row["PartitionKey"], row["RowKey"]) for row in page if wanted(row)]
            await self._bulk.delete(table, found)
            run.deleted_rows += len(found)
            await self._work.beat()
            last = page[-1]["PartitionKey"] if page else first
            if last == first:
                continue  # each slice gets a partition further, however short it is
            run.cursor = last
            if self._work.time_left() <= 0:
                raise SliceOver
        run.step, run.cursor = self._step, ""
