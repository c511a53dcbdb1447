"""What the parts of one read share: the checkpoint, what this run has seen, and what waits to be written."""

import hashlib
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.compact import kept_json
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, Phase
from shared.domain.columns import MALFORMED, malformed_in
from shared.domain.page import Page
from shared.domain.removal import Cause
from shared.domain.run import StreamProgress
from shared.domain.write import Act, Known, Write
from shared.mapping.compiled import ODD, carefully, compile_mapping
from shared.mapping.size import SURELY_FITS, fitting
from shared.sync.buffer import WriteBuffer
from shared.sync.contracts import HeldRows, Source, Store
from shared.sync.counts import Counts
from shared.sync.leavers import Leavers
from shared.sync.partial import Parts
from shared.sync.plan import Control, Plan
from shared.sync.scope import Scope
from shared.sync.seen import Seen

Mapped = tuple[dict[str, Any], bytes, int]
"""Columns, their JSON, and its digest."""


class Reading:
    """One slice's view of one read of one stream."""

    def __init__(
        self,
        stream: Stream,
        source: Source,
        store: Store,
        held: HeldRows,
        scope: Scope,
        control: Control,
        plan: Plan,
        resumed: Checkpoint | None,
    ) -> None:
        self.stream, self.source, self.store = stream, source, store
        self.scope, self.control, self.plan = scope, control, plan
        self.scoped = scope.narrow
        self._mapper, self.parts = compile_mapping(stream.attributes), Parts(stream, plan.remapped)
        self._card_of = stream.record_type.card_of
        self.fresh = resumed is None
        self.checkpoint = resumed or plan.fresh
        self.seen, self.buffer = Seen(), WriteBuffer(control.clock, control.limits)
        self.leavers = Leavers(stream.record_type, source, store, held, plan, self.checkpoint, control)
        self.counts = Counts(self.checkpoint.progress)
        self.unannounced: Checkpoint | None = None
        """A delta round's first checkpoint, which only its first batch of rows needs."""
        self.old = set() if plan.full else set(plan.unseen) - set(self.checkpoint.met)
        """Records that the last full read did not bring and that no delta has named since."""
        self.day = int(parse_iso(self.checkpoint.begun_at).timestamp() // 86400)

    def mapped(self, item: dict[str, Any]) -> Mapped:
        """The object as it is stored: columns, their JSON, and its digest. Values that can't be stored are taken out of it."""
        try:
            columns = self._mapper(item)
        except ODD:
            columns = carefully(self.stream.attributes, item)
        return self.digested(item["id"], columns)

    def digested(self, object_id: str, columns: dict[str, Any]) -> Mapped:
        """Columns with their JSON and digest."""
        body = kept_json(columns)
        if len(body) > SURELY_FITS:
            columns = fitting(columns, self.stream.attributes)
            body = kept_json(columns)
        if MALFORMED in columns:
            self.counts.malformed(object_id, malformed_in(columns))
        return columns, body, int.from_bytes(hashlib.sha256(body).digest()[:8])

    def note_oddities(self, page: Page) -> None:
        """What a page brought that can't be stored as it is."""
        for object_id, names in page.mended.items():
            self.counts.malformed(object_id, names)
        self.counts.nameless(page.nameless)
        if self.stream.unnamed:
            self.progress.unnamed += sum(map(self.stream.unnamed, page.items))

    async def completed(
        self, items: list[dict[str, Any]], known: dict[str, Known]
    ) -> dict[str, tuple[dict[str, Any], Mapped]]:
        """Objects that came in part, by id: what their scope is judged by, and what is to be stored. What is stored, or
        waits to be, stands for what is absent; where that is not enough the object is asked for. One that is gone by now
        is left out, and one without a clear answer keeps what is stored, its being out of scope included.
        """
        newest = {object_id: self._newest(object_id, row) for object_id, (row, _) in known.items()}
        ask = [
            item["id"]
            for item in items
            if self.parts.must_ask(item, stored=bool(newest[item["id"]]), stub=known[item["id"]].stub is not None)
        ]
        fetched = await self.source.fetch(list(dict.fromkeys(ask))) if ask else {}
        made: dict[str, tuple[dict[str, Any], Mapped]] = {}
        for item in items:
            object_id = item["id"]
            if object_id in fetched:
                whole = fetched[object_id]
                if whole is not None:
                    made[object_id] = whole, self.mapped(whole)
                continue
            if known[object_id].stub is not None and not newest[object_id]:
                continue  # no clear answer, and a stub holds no values: it stays what it is
            columns = self.parts.filled(item, newest[object_id])
            made[object_id] = self.parts.with_scope(item, newest[object_id]), self.digested(object_id, columns)
            newest[object_id] = columns  # should it come once more in this page
        return made

    def _newest(self, object_id: str, row: dict[str, Any] | None) -> dict[str, Any]:
        pending = self.buffer.get(object_id)
        if pending and pending.body and pending.card:
            return dict(orjson.loads(pending.body))
        return row or {}

    def write_of(
        self, object_id: str, act: Act, mapped: Mapped, *, had_stub: bool = False, changed: bool = False
    ) -> Write:
        """A write that keeps of the columns only what look-ups need."""
        columns, body, digest = mapped
        return Write(object_id, act, self._card_of(columns), body, digest, None, had_stub, changed)

    @property
    def progress(self) -> StreamProgress:
        return self.checkpoint.progress

    async def load(self) -> None:
        """Reads what is stored. Where a resumed bitmap does not fit it, the read begins at page one."""
        stubs = bool(self.plan.stubs) or self.scoped
        fits = await self.seen.load(self.store, self.scope, self.checkpoint, self.plan.unfinished, stubs=stubs)
        bits = self.checkpoint.seen_bits()
        if not self.fresh and not fits:
            self._from_page_one()
            self.checkpoint.stored, bits = len(self.seen.records), None
        self.seen.start(bits)
        self.progress.new, self.progress.returned = len(self.seen.born), len(self.seen.back)

    def _from_page_one(self) -> None:
        fresh = self.plan.fresh.model_copy(deep=True)
        fresh.delta_link = self.checkpoint.delta_link
        fresh.progress.expected = self.progress.expected
        self.checkpoint = self.leavers.checkpoint = fresh
        self.counts = Counts(fresh.progress)

    def must_ask(self, write: Write) -> bool:
        """Whether leaving the scope counts as a removal: not for growing old day by day. Where many days went by at once the
        clock may be wrong, and what the owner changed may be a mistake. Who waits already goes on waiting.
        """
        if self.leavers.approves(write.object_id):
            return False
        if self.leavers.waits(write.object_id):
            return True
        return write.reason != Cause.THRESHOLD or self.plan.ageing_asks or write.reason in self.plan.moved

    def flush_due(self) -> bool:
        return self.buffer.due(forced=self.leavers.dirty, early=self._nearly_there())

    def _nearly_there(self) -> bool:
        """A little before a long list's end, so that little is left to write when nothing else is left to do. A short list
        goes at once: half as many batches.
        """
        limits, left = self.control.limits, (self.progress.expected or 0) - self.progress.read
        return self.progress.pages > limits.flush_pages and 0 < left <= limits.near_the_end

    def durable(self) -> Checkpoint:
        self.leavers.note()
        checkpoint = self.checkpoint
        if self.seen.loaded:
            checkpoint.seen = checkpoint.with_seen(bytes(self.seen.records.seen))
        return checkpoint.model_copy(deep=True)

    async def advance(self, phase: Phase) -> None:
        """Goes on to the next part, once everything before it is durable. Where nothing was written since the last
        checkpoint there is nothing to save: a repetition finds the same.
        """
        self.checkpoint.phase = phase
        if self.buffer or self.leavers.dirty or (phase is Phase.REMOVALS and self.leavers.any):
            await self.cut()
        await self.buffer.settle()

    async def cut(self) -> None:
        """Hands what is pending to the writer, once the writer is done with what it had: one batch waits at most."""
        await self.buffer.settle()
        durable = self.durable()
        self.buffer.send(lambda writes: self._flush(writes, durable))

    async def _flush(self, writes: list[Write], durable: Checkpoint) -> None:
        if writes:
            if self.unannounced:
                await self.control.save(self.unannounced)
                self.unannounced = None
            await self.store.write(writes)
        await self.leavers.flush()
        await self.control.save(durable)
