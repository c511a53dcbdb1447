"""Mapped records of one connector's streams, their look-up rows, and the stubs of what the owner leaves out.

Order of the writes of one change, so that a crash between any two is mended by what comes next: journal, tombstone and
stub, a note of the look-up rows that are about to change, the record, its look-up rows. The record's digest says whether
there is anything left to do; the note says whose look-up rows may lag behind it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any

import orjson

from shared.clock import iso
from shared.compact import kept_json
from shared.domain.write import Act, Authorship, Head, Home, Intent, Known, Write, changed_day
from shared.names import CHANGES, LOOKUP, OUT_OF_SCOPE, RECORDS, TOMBSTONES
from shared.storage import journal, keys
from shared.storage.bulk import BulkTables, Entity
from shared.storage.layout import CURRENT
from shared.storage.lookups import Searchable, card_tail, lookup_rows
from shared.storage.wide import LIMIT, split
from shared.tasks import together

_RANGE_READ_FROM = 48  # this many rows of one partition are read as one range rather than one by one
_TURN = 100  # objects between two turns of the event loop
_MOST_AT_ONCE = 1000  # changes whose old rows are held at a time
LookupKey = tuple[str, str]


@dataclass
class _Batch:
    """What one round of writes comes to."""

    tombstones: list[Entity] = field(default_factory=list)
    changes: list[Entity] = field(default_factory=list)
    months: list[Entity] = field(default_factory=list)
    stubs: list[Entity] = field(default_factory=list)
    records: list[Entity] = field(default_factory=list)
    gone: list[LookupKey] = field(default_factory=list)
    cards: dict[LookupKey, bytes] = field(default_factory=dict)
    fresh: list[Searchable] = field(default_factory=list)
    cards_gone: set[LookupKey] = field(default_factory=set)
    stubs_gone: list[LookupKey] = field(default_factory=list)
    intent: Intent = field(default_factory=list)


async def no_intent(_intent: Intent) -> None:
    """Where nothing can crash between: nothing to note."""


class RecordStore:
    """Records of one stream of one connector. `intend` makes durable whose look-up rows are about to change."""

    def __init__(
        self,
        bulk: BulkTables,
        home: Home,
        author: Authorship,
        intend: Callable[[Intent], Awaitable[None]] = no_intent,
    ) -> None:
        self._bulk, self._home, self.author = bulk, home, author
        self._intend = intend
        self._suffix = f"|{home.connector}|{home.stream}"
        self._stamp = iso(author.at)
        self._rules = home.record_type.lookups if home.lookups else ()

    def heads(self) -> AsyncIterator[list[Head]]:
        """What is stored of this stream, in id order (a documented scan)."""
        return self._heads(RECORDS)

    def stub_heads(self) -> AsyncIterator[list[Head]]:
        """The same of its objects out of scope."""
        return self._heads(OUT_OF_SCOPE)

    async def _heads(self, table: str) -> AsyncIterator[list[Head]]:
        partitions = keys.record_partitions(self._home.source, self._home.partition)
        select = ("RowKey", "Digest", "ChangedAt", "FirstSeenAt", "ChangedBy", "LeftRun")
        async for page in self._bulk.scan(table, partitions, select):
            yield [self._head(row) for row in page if row["RowKey"].endswith(self._suffix)]

    def _head(self, row: dict[str, Any]) -> Head:
        written_as, _, written_by = row.get("ChangedBy", "").partition("|")
        object_id = row["RowKey"][: -len(self._suffix)]
        return Head(
            object_id, int(row["Digest"], 16), changed_day(row), written_as, written_by, row.get("LeftRun", ""),
            row.get("FirstSeenAt", ""),
        )  # fmt: skip

    async def find(self, object_ids: Iterable[str], *, stubs: bool) -> dict[str, Known]:
        """The stored rows of some objects; `stubs`: those of objects out of scope too."""
        wanted = list(dict.fromkeys(object_ids))
        rows = await self._rows(RECORDS, wanted)
        outside = await self._rows(OUT_OF_SCOPE, wanted) if stubs else {}
        return {object_id: Known(rows.get(object_id), outside.get(object_id)) for object_id in wanted}

    async def write(self, writes: Sequence[Write]) -> int:
        """Does all of it in its crash-safe order; gives how many records were written or removed. A CHANGE whose stored
        record turns out to be equal costs no write.
        """
        new = [write for write in writes if write.act is Act.NEW and not write.had_stub]
        others = [write for write in writes if not (write.act is Act.NEW and not write.had_stub)]
        count = await self._round(new) if new else 0
        for start in range(0, len(others), _MOST_AT_ONCE):
            count += await self._round(others[start : start + _MOST_AT_ONCE])
        return count

    async def settle(self, intent: Intent) -> None:
        """Brings the look-up rows of these objects in line with their records: an earlier attempt may have stopped
        between the two.
        """
        batch = _Batch()
        known = await self.find([object_id for object_id, _ in intent], stubs=False)
        for object_id, before in intent:
            row = known[object_id].row
            after = self._stored_cards(object_id, row) if row else {}
            batch.cards |= after
            batch.cards_gone |= {(partition, key) for partition, key in before} - after.keys()
        await self._send(batch)

    async def drop_stubs(self, object_ids: Iterable[str]) -> None:
        await self._drop(OUT_OF_SCOPE, [self._key(object_id) for object_id in object_ids])

    async def _round(self, writes: Sequence[Write]) -> int:
        await self._read_rows(writes)
        past = await self._past([w.object_id for w in writes if w.act is Act.NEW]) if self.author.journal else {}
        batch = _Batch()
        for number, write in enumerate(writes):
            if number % _TURN == _TURN - 1:
                await self._bulk.way.give()
            if write.act is Act.REMOVE:
                self._remove(batch, write)
            elif write.act in (Act.LEAVE, Act.OUTSIDE):
                self._leave(batch, write)
            else:
                self._keep(batch, write, past.get(write.object_id, ""))
        count = len(batch.records) + len(batch.gone)
        await self._send(batch)
        return count

    async def _read_rows(self, writes: Sequence[Write]) -> None:
        unread = [w.object_id for w in writes if w.act not in (Act.NEW, Act.OUTSIDE) and w.stored is None]
        rows = await self._rows(RECORDS, unread)
        stubs = await self._rows(OUT_OF_SCOPE, [w.object_id for w in writes if w.had_stub and w.stub is None])
        for write in writes:
            write.stored = write.stored or rows.get(write.object_id)
            write.stub = write.stub or stubs.get(write.object_id)

    def _keep(self, batch: _Batch, write: Write, past: str) -> None:
        row = write.stored
        if write.had_stub:
            batch.stubs_gone.append(self._key(write.object_id))
        if row and int(row["Digest"], 16) == write.digest:
            if write.again:
                batch.fresh.append(self._searchable(write.object_id, write.card))
            return
        if row:
            after = self._cards(write.object_id, write.card)
            before = self._stored_cards(write.object_id, row)
            batch.cards |= {key: card for key, card in after.items() if write.again or before.get(key) != card}
            batch.cards_gone |= before.keys() - after.keys()
            if before != after:
                batch.intent.append((write.object_id, list(before)))
        elif self._rules:
            batch.fresh.append(self._searchable(write.object_id, write.card))
        # The run counts by this word, also when it repeats itself: so it says what the run could see, not the journal.
        written_as = "changed" if row else "returned" if write.stub else "new"
        if row and row.get("ChangedBy", "").endswith(f"|{self.author.run}"):
            written_as = row["ChangedBy"].partition("|")[0]
        back = written_as == "returned" or past in ("removed", "left-scope")
        self._note(batch, write, "changed" if row else "returned" if back else "hired")
        batch.records.append(self._record(write, written_as))

    def _leave(self, batch: _Batch, write: Write) -> None:
        row = write.stored
        if row or not write.had_stub or write.act is Act.OUTSIDE:
            batch.stubs.append(self._stub(write))
        if write.act is Act.LEAVE:
            self._take_away(batch, write, "left-scope")

    def _remove(self, batch: _Batch, write: Write) -> None:
        if write.stored and write.reason:
            batch.tombstones.append(self._tombstone(write, write.stored))
        self._take_away(batch, write, "removed")

    def _take_away(self, batch: _Batch, write: Write, kind: str) -> None:
        row = write.stored
        if not row:
            return
        before = self._stored_cards(write.object_id, row)
        batch.cards_gone |= before.keys()
        batch.intent.append((write.object_id, list(before)))
        batch.gone.append(self._key(write.object_id))
        self._note(batch, write, kind)

    def _note(self, batch: _Batch, write: Write, kind: str) -> None:
        """An entry of the journal, unless it would say what one entry says for all."""
        author, home, row = self.author, self._home, write.stored
        if not author.journal:
            return
        fields: dict[str, tuple[Any, Any]] = {}
        if kind == "changed":
            fields = journal.differing(row or {}, orjson.loads(write.body), author.comparable)
            if not fields:
                return
        elif author.scope_changed and (kind == "left-scope" or (kind == "returned" and write.stub)):
            return
        before = int((row or write.stub or {}).get("Digest", "0"), 16)
        after = 0 if kind in ("removed", "left-scope") else write.digest
        name = str((write.card or home.record_type.card_of(row or {})).get("DisplayName") or "")
        entry = journal.Entry(kind, write.object_id, before, after, fields, name, write.reason or "")
        by = journal.Author(home.source, home.record_type.name, home.connector, home.stream, author.run, author.at)
        one, other = journal.rows(by, entry)
        batch.changes.append(one)
        batch.months.append(other)

    async def _past(self, object_ids: Sequence[str]) -> dict[str, str]:
        """What the journal last said of objects that seem new: someone who returns is no hire."""
        found: dict[str, str] = {}
        run_key = self.author.run.partition("~")[2]

        async def read(object_id: str) -> None:
            partition = keys.record_partition(self._home.source, self._home.record_type.name, object_id)
            span = keys.prefix_range(f"{object_id}|")
            for row in await self._bulk.rows(CHANGES, partition, span, ("RowKey", "Kind", "Stream")):
                if row["Stream"] == self._home.stream and f"|{run_key}|" not in row["RowKey"]:
                    found[object_id] = row["Kind"]
                    return

        await together(read(object_id) for object_id in object_ids)
        return found

    async def _send(self, batch: _Batch) -> None:
        await together(
            (
                self._put(TOMBSTONES, batch.tombstones),
                self._put(CHANGES, batch.changes),
                self._put(journal.month_table(self.author.at), batch.months),
                self._put(OUT_OF_SCOPE, batch.stubs),
            )
        )
        if batch.intent:
            self._bulk.guard()
            await self._intend(batch.intent)
        await together((self._put(RECORDS, batch.records), self._drop(RECORDS, batch.gone)))
        home = self._home
        for rule in self._rules:  # one attribute after the other: a third of the memory, and batches are as full
            rows: list[Entity] = []
            for some in batched(batch.fresh, _TURN, strict=False):
                rows += lookup_rows((rule,), home.source, home.connector, some)
                await self._bulk.way.give()
            await self._put(LOOKUP, rows)
        await self._put(LOOKUP, [(p, r, body) for (p, r), body in batch.cards.items()])
        await self._drop(LOOKUP, sorted(batch.cards_gone - batch.cards.keys()))
        await self._drop(OUT_OF_SCOPE, batch.stubs_gone)

    async def _put(self, table: str, entities: list[Entity]) -> None:
        if entities:
            self._bulk.guard()
            await self._bulk.put(table, _handed_over(entities))

    async def _drop(self, table: str, gone: Sequence[LookupKey]) -> None:
        if gone:
            self._bulk.guard()
            await self._bulk.delete(table, gone)

    def _key(self, object_id: str) -> LookupKey:
        return (
            keys.record_partition(self._home.source, self._home.partition, object_id),
            keys.record_row(object_id, self._home.connector, self._home.stream),
        )

    def _cards(self, object_id: str, card: dict[str, Any]) -> dict[LookupKey, bytes]:
        """The look-up rows of a record by their keys."""
        if not self._rules:
            return {}
        home = self._home
        rows = lookup_rows(self._rules, home.source, home.connector, [self._searchable(object_id, card)])
        return {(partition, key): body for partition, key, body in rows}

    def _searchable(self, object_id: str, card: dict[str, Any]) -> Searchable:
        return object_id, card, card_tail(self._home.source, object_id, card)

    def _stored_cards(self, object_id: str, row: dict[str, Any]) -> dict[LookupKey, bytes]:
        return self._cards(object_id, self._home.record_type.card_of(row))

    def _record(self, write: Write, written_as: str) -> Entity:
        partition, row = self._key(write.object_id)
        before = write.stored or write.stub
        # One that comes back into scope unchanged keeps the time of its last change: thresholds look at it.
        changed = before["ChangedAt"] if before and not write.stored and not write.changed else self._stamp
        first = before["FirstSeenAt"] if before else self._stamp
        # ids, marks, times and hex: nothing to escape
        system = (
            f'{{"PartitionKey":"{partition}","RowKey":"{row}","V":{CURRENT.writes},"Digest":"{write.digest:016x}",'
            f'"ChangedAt":"{changed}","ChangedAt@odata.type":"Edm.DateTime",'
            f'"FirstSeenAt":"{first}","FirstSeenAt@odata.type":"Edm.DateTime",'
            f'"ChangedBy":"{written_as}|{self.author.run}"'
        )
        body, write.body = write.body, b""
        if len(body) > LIMIT // 2:
            body = orjson.dumps(split(orjson.loads(body)))
        return (partition, row, system.encode() + (b"," + body[1:] if len(body) > 2 else b"}"))

    def _stub(self, write: Write) -> Entity:
        partition, row = self._key(write.object_id)
        before = write.stored or write.stub
        first = before["FirstSeenAt"] if before else self._stamp
        changed = self._stamp if write.changed else before["ChangedAt"] if before else first
        stub = {
            "PartitionKey": partition, "RowKey": row, "V": CURRENT.writes, "Digest": f"{write.digest:016x}",
            "Reason": write.reason, "Since": self._stamp, "Since@odata.type": "Edm.DateTime",
            "ChangedAt": changed, "ChangedAt@odata.type": "Edm.DateTime",
            "FirstSeenAt": first, "FirstSeenAt@odata.type": "Edm.DateTime",
            "LeftRun": self.author.run if write.act is Act.LEAVE else "",
        }  # fmt: skip
        return (partition, row, kept_json(stub))

    def _tombstone(self, write: Write, stored: dict[str, Any]) -> Entity:
        home, author = self._home, self.author
        partition = keys.tombstone_day(home.source, author.at)
        row = keys.record_row(write.object_id, home.connector, home.stream)
        stone = {
            "PartitionKey": partition, "RowKey": row, "V": CURRENT.writes, "Reason": write.reason,
            "At": self._stamp, "At@odata.type": "Edm.DateTime",
            "FirstSeenAt": stored["FirstSeenAt"], "FirstSeenAt@odata.type": "Edm.DateTime",
            "Run": author.run, "RecordType": home.record_type.name, "ObjectId": write.object_id, "Connector": home.connector,
            **home.record_type.card_of(stored),
        }  # fmt: skip
        return (partition, row, kept_json(stone))

    async def _rows(self, table: str, object_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The stored rows of these objects, by object id."""
        partitions: dict[str, list[str]] = {}
        for object_id in object_ids:
            partition, row = self._key(object_id)
            partitions.setdefault(partition, []).append(row)
        found: dict[str, dict[str, Any]] = {}

        async def read(partition: str, first: str, last: str, wanted: set[str]) -> None:
            for row in await self._bulk.rows(table, partition, (first, last + "\x7f"), only=wanted):
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


def _handed_over(entities: list[Entity]) -> Iterator[Entity]:
    """All of them, and none is kept: thousands wait to be written, and each is let go once it is."""
    yield from entities
    entities.clear()
