"""Rows that are to go, found and removed page by page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from shared.storage.bulk import BulkTables
from shared.storage.tables import Tables

ANYTHING = ("", "~")
"""The range of all partitions."""
_LOOKED_AT = ("PartitionKey", "RowKey", "Connector", "Since", "At", "Decision", "Run")


class Sweep:
    """The rows of a range of partitions that a rule wants gone (a documented scan)."""

    def __init__(
        self, bulk: BulkTables, table: str, span: tuple[str, str], wanted: Callable[[dict[str, Any]], bool]
    ) -> None:
        self._bulk, self.table, self._span, self._wanted = bulk, table, span, wanted
        self.name = f"{table}:{span[0]}"

    async def pages(self, first: str) -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
        """The last partition of each page, and the keys in it that are to go; from the partition `first` on."""
        async for page in self._bulk.scan(self.table, (first or self._span[0], self._span[1]), _LOOKED_AT):
            if page:
                found = [(row["PartitionKey"], row["RowKey"]) for row in page if self._wanted(row)]
                yield page[-1]["PartitionKey"], found

    async def remove(self, keys: list[tuple[str, str]]) -> None:
        await self._bulk.delete(self.table, keys)


class Dropped:
    """A whole table that is to go."""

    def __init__(self, tables: Tables, table: str) -> None:
        self._tables = tables
        self.table = self.name = table

    async def pages(self, _first: str) -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
        yield "", []

    async def remove(self, _keys: list[tuple[str, str]]) -> None:
        await asyncio.to_thread(self._tables.drop, self.table)
