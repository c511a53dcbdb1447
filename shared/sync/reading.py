"""What the parts of one read share: the checkpoint, what is stored, what this run has seen, and what waits to be written."""

import hashlib
from typing import Any

from shared.clock import parse_iso
from shared.compact import kept_json
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, Phase
from shared.domain.removal import Cause
from shared.domain.run import StreamProgress
from shared.domain.write import CARD_COLUMNS, Act, Write
from shared.errors import SourceProblem
from shared.mapping.compiled import compile_mapping
from shared.sync.index import IdSet, Index
from shared.sync.outbox import FLUSH_PAGES, Outbox
from shared.sync.plan import Control, Plan, Source, Store
from shared.sync.removals import HeldRows, Leavers
from shared.sync.scope import Scope

NEAR_THE_END = 2000  # objects


class Reading:
    """One slice's view of one read of one stream. `records` and `stubs` hold what was stored before, once loaded."""

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
        self._mapper = compile_mapping(stream.attributes)
        self.records, self.stubs = Index(), Index()
        self.born, self.back, self.touched = IdSet(), IdSet(), IdSet()  # written by this run: new, returned, changed
        self.recent = IdSet()  # first seen when activity had been read
        self.lagging = IdSet()  # written by a run that died: their look-up rows may be missing
        self.outbox = Outbox(control.clock)
        self.unannounced: Checkpoint | None = None
        self.loaded = False
        self.fresh = resumed is None
        self.checkpoint = resumed or plan.fresh
        self.leavers = Leavers(source, store, held, plan, self.checkpoint)
        self.old = set() if plan.full else set(plan.unseen) - set(self.checkpoint.met)
        self.day = int(parse_iso(self.checkpoint.begun_at).timestamp() // 86400)

    def mapped(self, item: dict[str, Any]) -> tuple[dict[str, Any], bytes, int]:
        """The object as it is stored: columns, their JSON, and its digest."""
        columns = self._mapper(item)
        body = kept_json(columns)
        return columns, body, int.from_bytes(hashlib.sha256(body).digest()[:8])

    @property
    def progress(self) -> StreamProgress:
        return self.checkpoint.progress

    async def load(self) -> None:
        """Reads what is stored. Where a resumed bitmap does not fit it, the read begins at page one."""
        run = self.checkpoint.run_id
        async for page in self.store.heads():
            old = []
            for head in page:
                if self.scope.unknown_since(head.first_seen):
                    self.recent.add(head.object_id)
                if head.written_by == run and head.written_as != "changed":
                    (self.born if head.written_as == "new" else self.back).add(head.object_id)
                    continue
                if head.written_by == run:
                    self.touched.add(head.object_id)
                elif head.written_by in self.plan.unfinished:
                    self.lagging.add(head.object_id)
                old.append((head.object_id, head.digest, head.changed_day))
            self.records.load(old)
        if self.plan.stubs or self.scoped:
            left: list[tuple[str, int, int]] = []
            async for page in self.store.heads("OutOfScope"):
                self.stubs.load((h.object_id, h.digest, h.changed_day) for h in page)
                left += [(h.object_id, h.digest, h.changed_day) for h in page if h.left_in == run]
            # What left in an earlier slice keeps its place, or the bitmap would point to the wrong records; unless the
            # slice died between stub and record: then it has its place.
            self.records.load([head for head in left if self.records.find(head[0]) < 0])
        bits = self.checkpoint.seen_bits()
        if not self.fresh and self.checkpoint.stored != len(self.records):
            self.from_page_one()
            self.checkpoint.stored, bits = len(self.records), None
        self.records.start(bits)
        self.stubs.start()
        self.loaded = True
        self.progress.new, self.progress.returned = len(self.born), len(self.back)

    def from_page_one(self) -> None:
        """The bitmap does not fit what is stored: somebody else wrote. Everything is looked at again."""
        fresh = self.plan.fresh.model_copy(deep=True)
        fresh.delta_link = self.checkpoint.delta_link
        fresh.progress.expected = self.progress.expected
        self.checkpoint = fresh
        self.leavers.checkpoint = fresh

    def must_ask(self, write: Write) -> bool:
        """Whether leaving the scope counts as a removal: not where the owner moved that part of the scope, nor for growing
        old day by day. Where many days went by at once the clock may be wrong. Who waits already goes on waiting.
        """
        if self.leavers.approves(write.object_id):
            return False
        if self.leavers.waits(write.object_id):
            return True
        if write.reason in self.plan.moved:
            return False
        return write.reason != Cause.THRESHOLD or self.plan.ageing_asks

    def flush_due(self) -> bool:
        return self.outbox.due(forced=self.leavers.dirty) or self._nearly_there()

    def _nearly_there(self) -> bool:
        """A little before a long list's end, so that little is left to write when nothing else is left to do. A short list
        goes at once: half as many batches.
        """
        progress = self.progress
        left = (progress.expected or 0) - progress.read
        return progress.pages > FLUSH_PAGES and self.outbox.idle and self.outbox.pages > 2 and 0 < left <= NEAR_THE_END

    def durable(self) -> Checkpoint:
        self.leavers.note()
        checkpoint = self.checkpoint
        if self.loaded:
            checkpoint.seen = checkpoint.with_seen(bytes(self.records.seen))
        return checkpoint.model_copy(deep=True)

    async def advance(self, phase: Phase) -> None:
        """Goes on to the next part, once everything before it is durable. Where nothing was written since the last
        checkpoint there is nothing to save: a repetition finds the same.
        """
        self.checkpoint.phase = phase
        if self.outbox or self.leavers.dirty or (phase is Phase.REMOVALS and self.leavers.any):
            await self.cut()
        await self.outbox.settle()

    async def cut(self) -> None:
        """Hands what is pending to the writer, once the writer is done with what it had: one batch waits at most."""
        await self.outbox.settle()
        durable = self.durable()
        self.outbox.send(lambda writes: self._flush(writes, durable))

    async def _flush(self, writes: list[Write], durable: Checkpoint) -> None:
        if writes:
            if self.unannounced:
                await self.control.save(self.unannounced)
                self.unannounced = None
            await self.store.write(writes)
        await self.leavers.flush()
        await self.control.save(durable)


def write_of(object_id: str, act: Act, columns: dict[str, Any], body: bytes, digest: int, **more: Any) -> Write:
    """A write that keeps of the columns only what look-ups need."""
    card = {name: columns[name] for name in CARD_COLUMNS if name in columns}
    return Write(object_id, act, card, body, digest, **more)


def page_loop() -> SourceProblem:
    return SourceProblem(
        "Microsoft Graph sent a page that links to itself.",
        code="graph-page-loop", remedy="The next run tries again by itself.", transient=True,
    )  # fmt: skip
