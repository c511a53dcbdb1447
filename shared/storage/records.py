"""Mapped records of one connector's streams, their look-up rows, and the stubs of what the owner leaves out.

Order of the writes of one change, so that a crash between any two is mended by doing the change again: new look-up rows,
old look-up rows away, the record last, because it is the record's digest that says whether there is anything left to do.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.clock import Clock, iso, parse_iso
from shared.compact import kept_json
from shared.domain.write import CARD_COLUMNS, Act, Head, LookupRule, Write
from shared.storage import keys
from shared.storage.bulk import BulkTables, Entity
from shared.storage.tables import SCHEMA_VERSION
from shared.storage.wide import LIMIT, split
from shared.tasks import together

RECORDS, LOOKUP, OUT_OF_SCOPE = "Records", "Lookup", "OutOfScope"
_RANGE_READ_FROM = 12  # this many changed rows in one partition are read as one range rather than one by one
LookupKey = tuple[str, str]


def lookup_cards(
    rules: Sequence[LookupRule], source: str, object_id: str, connector: str, columns: dict[str, Any]
) -> dict[LookupKey, bytes]:
    """The look-up rows of a record: keys to the JSON of the covering card."""
    cards: dict[LookupKey, bytes] = {}
    card = {name: columns[name] for name in CARD_COLUMNS if name in columns}
    for rule in rules:
        for column in rule.columns:
            folded = keys.fold(str(columns.get(column) or ""))
            if not folded:
                continue
            partition, row = (
                keys.lookup_partition(rule.attribute, folded),
                keys.lookup_row(folded, source, object_id, connector),
            )
            entity = {
                "PartitionKey": partition, "RowKey": row, "V": SCHEMA_VERSION,
                "Source": source, "ObjectId": object_id, **card,
            }  # fmt: skip
            cards[partition, row] = kept_json(entity)
    return cards


@dataclass(frozen=True)
class Home:
    """Whose records they are, and how they are found."""

    source: str
    connector: str
    stream: str
    record_type: str
    lookups: Sequence[LookupRule] = ()


class RecordStore:
    """Records of one stream of one connector. `guard` raises when this worker must not write any more."""

    def __init__(self, bulk: BulkTables, home: Home, run: str, clock: Clock, guard: Callable[[], None]) -> None:
        self._bulk, self._home = bulk, home
        self._run, self._clock, self._guard = run, clock, guard
        self._suffix = f"|{home.connector}|{home.stream}"

    async def heads(self, table: str = RECORDS) -> AsyncIterator[list[Head]]:
        """What is stored of this stream, in id order (a documented scan)."""
        partitions = keys.record_partitions(self._home.source, self._home.record_type)
        select = ("RowKey", "Digest", "ChangedAt", "FirstSeenAt", "FirstSeenRun", "LeftRun")
        async for page in self._bulk.scan(table, partitions, select):
            yield [self._head(row) for row in page if row["RowKey"].endswith(self._suffix)]

    def _head(self, row: dict[str, Any]) -> Head:
        changed, first = row.get("ChangedAt", ""), row.get("FirstSeenAt", "")
        day = int(parse_iso(changed).timestamp() // 86400) if changed and changed != first else 0
        object_id = row["RowKey"][: -len(self._suffix)]
        return Head(object_id, int(row["Digest"], 16), day, row.get("FirstSeenRun", ""), row.get("LeftRun", ""))

    async def write(self, writes: Sequence[Write]) -> int:
        """Does all of it, each in its crash-safe order; gives how many records were written. A CHANGE whose stored
        record turns out to be equal costs no write.
        """
        old = await self._old_rows([write for write in writes if write.act in (Act.CHANGE, Act.LEAVE)])
        now = self._clock.now()
        records: list[Entity] = []
        stubs: list[Entity] = []
        put: dict[LookupKey, bytes] = {}
        drop: set[LookupKey] = set()
        gone: list[LookupKey] = []
        stubs_gone: list[LookupKey] = []
        for write in writes:
            row = old.get(write.object_id)
            key = self._key(write.object_id)
            before = self._cards(write.object_id, row) if row else {}
            if write.act in (Act.LEAVE, Act.OUTSIDE):
                stubs.append(self._stub(write, row, now))
                drop.update(before)
                if write.act is Act.LEAVE:
                    gone.append(key)
                continue
            if write.had_stub:
                stubs_gone.append(key)
            if row and int(row["Digest"], 16) == write.digest:
                continue
            after = self._cards(write.object_id, write.card)
            put.update({k: card for k, card in after.items() if before.get(k) != card})
            drop.update(before.keys() - after.keys())
            records.append(self._record(write, row, now))
        for step in (
            self._put(OUT_OF_SCOPE, stubs),
            self._put(LOOKUP, [Entity(p, r, body) for (p, r), body in put.items()]),
            self._drop(LOOKUP, sorted(drop - put.keys())),
            self._put(RECORDS, records),
            self._drop(RECORDS, gone),
            self._drop(OUT_OF_SCOPE, stubs_gone),
        ):
            await step
        return len(records)

    async def _put(self, table: str, entities: list[Entity]) -> None:
        if entities:
            self._guard()
            await self._bulk.put(table, entities)

    async def _drop(self, table: str, gone: Sequence[LookupKey]) -> None:
        if gone:
            self._guard()
            await self._bulk.delete(table, gone)

    def _key(self, object_id: str) -> LookupKey:
        return (
            keys.record_partition(self._home.source, self._home.record_type, object_id),
            keys.record_row(object_id, self._home.connector, self._home.stream),
        )

    def _cards(self, object_id: str, columns: dict[str, Any]) -> dict[LookupKey, bytes]:
        return lookup_cards(self._home.lookups, self._home.source, object_id, self._home.connector, columns)

    def _record(self, write: Write, old: dict[str, Any] | None, now: datetime) -> Entity:
        partition, row = self._key(write.object_id)
        stamp = iso(now)
        first = old["FirstSeenAt"] if old else stamp
        # An object that returns from outside the scope because it changed: its change is later than its first sight.
        if not old and write.changed:
            first = iso(datetime.fromtimestamp(now.timestamp() - 1, now.tzinfo))
        system = {
            "PartitionKey": partition, "RowKey": row, "V": SCHEMA_VERSION, "Digest": f"{write.digest:016x}",
            "ChangedAt": stamp, "ChangedAt@odata.type": "Edm.DateTime",
            "FirstSeenAt": first, "FirstSeenAt@odata.type": "Edm.DateTime",
            "FirstSeenRun": old.get("FirstSeenRun", "") if old else self._run,
        }  # fmt: skip
        body, write.body = write.body, b""
        if len(body) > LIMIT // 2:
            body = orjson.dumps(split(orjson.loads(body)))
        whole = orjson.dumps(system)
        if len(body) > 2:
            whole = whole[:-1] + b"," + body[1:]
        return Entity(partition, row, whole)

    def _stub(self, write: Write, old: dict[str, Any] | None, now: datetime) -> Entity:
        partition, row = self._key(write.object_id)
        stamp = iso(now)
        first = old["FirstSeenAt"] if old else stamp
        changed = stamp if write.changed else (old["ChangedAt"] if old else first)
        stub = {
            "PartitionKey": partition, "RowKey": row, "V": SCHEMA_VERSION, "Digest": f"{write.digest:016x}",
            "Reason": write.reason, "Since": stamp, "Since@odata.type": "Edm.DateTime",
            "ChangedAt": changed, "ChangedAt@odata.type": "Edm.DateTime",
            "FirstSeenAt": first, "FirstSeenAt@odata.type": "Edm.DateTime", "FirstSeenRun": self._run,
            "LeftRun": self._run if write.act is Act.LEAVE else "",
        }  # fmt: skip
        return Entity(partition, row, kept_json(stub))

    async def _old_rows(self, writes: Sequence[Write]) -> dict[str, dict[str, Any]]:
        """The stored rows of these objects, by object id."""
        partitions: dict[str, list[str]] = {}
        for write in writes:
            partition, row = self._key(write.object_id)
            partitions.setdefault(partition, []).append(row)
        found: dict[str, dict[str, Any]] = {}

        async def read(partition: str, first: str, last: str, wanted: set[str]) -> None:
            for row in await self._bulk.rows(RECORDS, partition, (first, last + "\x7f")):
                if row["RowKey"] in wanted:
                    found[row["RowKey"][: -len(self._suffix)]] = row

        reads = []
        for partition, rows in partitions.items():
            rows.sort()
            if len(rows) >= _RANGE_READ_FROM:
                reads.append(read(partition, rows[0], rows[-1], set(rows)))
            else:
                reads += [read(partition, row, row, {row}) for row in rows]
        await together(reads)
        return found

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self._bulk.close()
