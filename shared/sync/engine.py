"""One stream, read to its end: fetch -> map -> compare -> write -> checkpoint. Knows pages and records, no Azure.

A full read lists everything, catches up with what changed while it was listing, asks for whatever is absent, and only then
removes. A delta round begins where the last one ended. While one page is worked on the next is being fetched and the last
batch of rows is being written. A checkpoint names the last page of which every row is durable, so whatever kills this
worker costs at most the pages behind it.
"""

import hashlib
import itertools
from typing import Any

import orjson

from shared.clock import parse_iso
from shared.compact import kept_json
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, Phase
from shared.domain.removal import Cause
from shared.domain.run import StreamProgress
from shared.domain.write import CARD_COLUMNS, Act, Known, Write
from shared.errors import SourceProblem
from shared.graph.answers import Missing, PageTokenExpired, Postponed, ResyncNeeded
from shared.graph.listing import Page
from shared.mapping.compiled import compile_mapping
from shared.sync.index import IdSet, Index, packed
from shared.sync.outbox import FLUSH_PAGES, Outbox
from shared.sync.plan import Control, Plan, SliceOver, Source, StartOver, Store
from shared.sync.removals import HeldRows, Leavers
from shared.sync.scope import Scope
from shared.tasks import both

NEAR_THE_END = 2000  # objects
_TURN = 50  # objects between two turns of the event loop: the next request must leave, the lease be renewed
_MOST_STUCK = 3
_MOST_STUBS = 2000
MOST_STALE = 1000
_ENOUGH_RESTARTS = 2  # the list's page token died so often: delta's own pages take over


class StreamReader:
    """Reads one stream for one run; made anew in every slice."""

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
        self._stream, self._source, self._store = stream, source, store
        self._scope, self._control, self._plan = scope, control, plan
        self._scoped = scope.narrow
        self._mapper = compile_mapping(stream.attributes)
        self._records, self._stubs = Index(), Index()
        self._born, self._back, self._touched = IdSet(), IdSet(), IdSet()  # written by this run: new, returned, changed
        self._lagging, self._outside, self._told = IdSet(), IdSet(), IdSet()
        self._outbox = Outbox(control.clock)
        self._unannounced: Checkpoint | None = None
        self._loaded = False
        self._fresh = resumed is None
        self.checkpoint = resumed or plan.fresh
        self._leavers = Leavers(source, store, held, plan, self.checkpoint)
        self._old = set() if plan.full else set(plan.unseen) - set(self.checkpoint.met)
        self._day = int(parse_iso(self.checkpoint.begun_at).timestamp() // 86400)

    @property
    def progress(self) -> StreamProgress:
        return self.checkpoint.progress

    @property
    def stored_records(self) -> int:
        """How many records there are now."""
        p = self.progress
        before = self.checkpoint.stored if self._plan.full else self._plan.records
        return max(0, before + p.new + p.returned - p.left_scope - p.removed)

    async def read(self) -> Checkpoint:
        """Reads to the end; the returned checkpoint holds the counts. Raises StartOver, SliceOver, Postponed,
        SourceProblem, and whatever `beat` raises; all that was read before is durable then.
        """
        await self._leavers.load()
        if self._plan.full and self.checkpoint.phase not in (Phase.REMOVALS, Phase.DONE):
            await self._load()
        self.progress.phase = "reading"
        if self._fresh:
            await self._begin()
        steps = {
            Phase.LISTING: self._list,
            Phase.ENUMERATING: self._list,
            Phase.CHANGES: self._catch_up,
            Phase.ABSENT: self._absent,
            Phase.REMOVALS: self._remove,
        }
        try:
            while self.checkpoint.phase is not Phase.DONE:
                await steps[self.checkpoint.phase]()
        except (SliceOver, Postponed):
            await self._cut()  # also a slice that was all waiting leaves its pages durable, or it would never get on
            await self._outbox.settle()
            raise
        finally:
            await self._source.stop()
            await self._outbox.end()
        self.progress.phase = "done"
        return self.checkpoint

    async def _begin(self) -> None:
        """Before the first page: a link to catch up from, and Graph's count."""
        checkpoint = self.checkpoint
        if self._plan.full:
            checkpoint.phase = Phase.LISTING
            checkpoint.stored = len(self._records)
            checkpoint.delta_link, self.progress.expected = await both(self._source.latest(), self._source.count())
            await self._control.save(self._durable())
        else:
            # A round that brings nothing costs no checkpoint: the first batch of rows announces the run.
            checkpoint.phase, checkpoint.delta_link = Phase.CHANGES, self._plan.delta_link
            self._unannounced = self._durable()

    async def _load(self) -> None:
        run = self.checkpoint.run_id
        async for page in self._store.heads():
            old = []
            for head in page:
                if head.written_by == run and head.written_as != "changed":
                    (self._born if head.written_as == "new" else self._back).add(head.object_id)
                    continue
                if head.written_by == run:
                    self._touched.add(head.object_id)
                elif head.written_by in self._plan.unfinished:
                    self._lagging.add(head.object_id)  # its look-up rows may be missing
                old.append((head.object_id, head.digest, head.changed_day))
            self._records.load(old)
        if self._plan.stubs or self._scoped:
            left: list[tuple[str, int, int]] = []
            async for page in self._store.heads("OutOfScope"):
                self._stubs.load((h.object_id, h.digest, h.changed_day) for h in page)
                left += [(h.object_id, h.digest, h.changed_day) for h in page if h.left_in == run]
            # What left in an earlier slice keeps its place, or the bitmap would point to the wrong records; unless the
            # slice died between stub and record: then it has its place.
            self._records.load([head for head in left if self._records.find(head[0]) < 0])
        bits = self.checkpoint.seen_bits()
        if not self._fresh and self.checkpoint.stored != len(self._records):
            self._from_page_one()
            self.checkpoint.stored, bits = len(self._records), None
        self._records.start(bits)
        self._stubs.start()
        self._loaded = True
        self.progress.new, self.progress.returned = len(self._born), len(self._back)

    def _from_page_one(self) -> None:
        """The bitmap does not fit what is stored: somebody else wrote. Everything is looked at again."""
        fresh = self._plan.fresh.model_copy(deep=True)
        fresh.delta_link = self.checkpoint.delta_link
        fresh.progress.expected = self.progress.expected
        self.checkpoint = fresh
        self._leavers.checkpoint = fresh

    # The list

    async def _list(self) -> None:
        try:
            await self._enumerate()
        except (PageTokenExpired, ResyncNeeded):
            await self._start_again()

    async def _enumerate(self) -> None:
        fetch_page = self._source.enumerate if self.checkpoint.phase is Phase.ENUMERATING else self._source.page
        link = self.checkpoint.next_link
        while True:
            page = await fetch_page(link)
            if page.next_link is not None and page.next_link == link:
                raise _loop()
            link = page.next_link
            await self._take(page, link)
            await self._control.beat(self.progress)
            if link is None:
                self._end_listing(page)
                await self._cut()
                self.progress.counted_after = await self._source.count()
                await self._outbox.settle()
                return
            if self._flush_due():
                await self._cut()
            if self._control.time_left() <= 0:
                raise SliceOver

    def _end_listing(self, page: Page) -> None:
        checkpoint = self.checkpoint
        self.progress.ids = self._records.seen_count + len(self._born) + len(self._back) + checkpoint.outside
        if checkpoint.phase is Phase.ENUMERATING and page.delta_link:
            checkpoint.delta_link = page.delta_link
        checkpoint.phase = Phase.CHANGES if checkpoint.delta_link else Phase.ABSENT
        checkpoint.next_link = None

    async def _take(self, page: Page, next_link: str | None) -> None:
        for number, item in enumerate(page.items):
            if number % _TURN == _TURN - 1:
                await self._control.way.give()
            if "@removed" in item:
                self._leavers.reported(item)
            else:
                self._take_one(item)
        progress = self.progress
        progress.pages += 1
        progress.read += len(page.items)
        self.checkpoint.next_link = next_link
        self._outbox.pages += 1

    def _take_one(self, item: dict[str, Any]) -> None:  # noqa: C901 - the hot path: each case is one line
        object_id = item["id"]
        columns = self._mapper(item)
        body = kept_json(columns)
        digest = int.from_bytes(hashlib.sha256(body).digest()[:8])
        key = packed(object_id)
        place, stub = self._records.find_packed(key), self._stubs.find_packed(key)
        changed = (place >= 0 and self._records.digest(place) != digest) or (
            place < 0 and stub >= 0 and self._stubs.digest(stub) != digest
        )
        if self._scoped and (
            reason := self._scope.left_out(item, lambda: self._last_change(place, stub, changed=changed))
        ):
            self._leave_out(Write(object_id, Act.OUTSIDE, {}, body, digest, reason, changed=changed), place, stub)
            return
        self._leavers.present(object_id)
        if place >= 0 and not changed and stub < 0:
            if self._records.mark(place):
                if self._touched.has_packed(key):
                    self.progress.changed += 1
                else:
                    self.progress.unchanged += 1
            if self._plan.unfinished and object_id in self._lagging:
                self._outbox.add(self._write(object_id, Act.CHANGE, columns, body, digest, again=True))
            return
        write = self._write(object_id, Act.NEW, columns, body, digest, had_stub=stub >= 0, changed=changed)
        if place >= 0:
            write.act, write.again = Act.CHANGE, self._lagging.has_packed(key)
            if self._records.mark(place):
                self.progress.changed += changed
                self.progress.unchanged += not changed
        elif self._back.has_packed(key) or (stub >= 0 and self._born.has_packed(key)):
            write.act, write.again = Act.CHANGE, True
        elif stub < 0 and not self._born.add_packed(key):
            write.act, write.again = Act.CHANGE, True  # written by this run already: perhaps by an attempt that died
        elif stub >= 0:
            self._back.add_packed(key)
            self.progress.returned += 1
        else:
            self.progress.new += 1
        self._outbox.add(write)

    @staticmethod
    def _write(object_id: str, act: Act, columns: dict[str, Any], body: bytes, digest: int, **more: Any) -> Write:
        card = {name: columns[name] for name in CARD_COLUMNS if name in columns}
        return Write(object_id, act, card, body, digest, **more)

    def _last_change(self, place: int, stub: int, *, changed: bool) -> int | None:
        """The day of the last change that we saw; today for one seen just now."""
        if changed:
            return self._day
        if place >= 0:
            return self._records.changed_day(place) or None
        return (self._stubs.changed_day(stub) or None) if stub >= 0 else None

    def _leave_out(self, write: Write, place: int, stub: int) -> None:
        object_id = write.object_id
        write.had_stub = stub >= 0
        here = place >= 0 or object_id in self._born or object_id in self._back
        if place >= 0:
            first = self._records.mark(place)
        else:
            first = self._stubs.mark(stub) if stub >= 0 else self._outside.add(object_id)
        if here and stub < 0 and self._must_ask(write):
            self._leavers.leaves_scope(write)
            return
        if first:
            self.progress.out_of_scope += 1
            self.checkpoint.outside += place < 0 and not here
        if here:
            write.act = Act.LEAVE
            self.progress.left_scope += first
            self._leavers.present(object_id)  # nothing waits for a person any more
            self._outbox.add(write)
        elif stub < 0 or write.changed:
            self._outbox.add(write)

    def _must_ask(self, write: Write) -> bool:
        """Whether leaving the scope counts as a removal: not where the owner moved the scope, nor for growing old day by
        day. Where many days went by at once the clock may be wrong.
        """
        if self._leavers.approves(write.object_id) or self._plan.scope_changed:
            return False
        return write.reason != Cause.THRESHOLD or self._plan.ageing_asks

    # What changed since

    async def _catch_up(self) -> None:
        if self._outbox:
            await self._cut()
        link = self.checkpoint.next_link or self.checkpoint.delta_link
        assert link
        try:
            while True:
                page = await self._source.changes(link)
                await self._outbox.settle()  # told objects are compared with stored rows
                await self._take_changes(page)
                await self._control.beat(self.progress)
                if page.next_link is None:
                    break
                if page.next_link == link:
                    raise _loop()
                link = self.checkpoint.next_link = page.next_link
                if self._flush_due():
                    await self._cut()
                if self._control.time_left() <= 0:
                    raise SliceOver
        except (ResyncNeeded, Missing, PageTokenExpired) as refused:
            if not self._plan.full:
                expired = isinstance(refused, PageTokenExpired)
                raise StartOver("delta-page-token-expired" if expired else "delta-expired") from refused
            page = Page([], None, None)  # nothing to catch up with: the next run reads everything again
        self.checkpoint.delta_link, self.checkpoint.next_link = page.delta_link, None
        await self._advance(Phase.ABSENT)

    async def _take_changes(self, page: Page) -> None:
        told: dict[str, dict[str, Any]] = {}  # the last word on each counts; a relation is named only when it changed
        for item in page.items:
            earlier = told.get(item["id"], {})
            told[item["id"]] = {name: earlier[name] for name in self._stream.delta_links if name in earlier} | item
        present = [object_id for object_id, item in told.items() if "@removed" not in item]
        known = await self._store.find(present, stubs=bool(self._plan.stubs) or self._scoped)
        await self._complete_stubs(told, known)
        for object_id, item in told.items():
            if object_id in self._old:
                self._old.discard(object_id)
                self.checkpoint.met.append(object_id)
            if "@removed" in item:
                self.progress.reported_removed += 1
                self._leavers.reported(item)
            else:
                self.progress.reported_present += 1
                self._take_told(item, known[object_id])
        if not self._plan.full:
            self.progress.pages += 1
            self.progress.read += len(page.items)
        self._outbox.pages += 1

    async def _complete_stubs(self, told: dict[str, dict[str, Any]], known: dict[str, Known]) -> None:
        """Of an object out of scope no relation is stored that delta could leave unsaid: should it come back, ask."""
        links = self._stream.delta_links
        short = [
            key for key, (row, stub) in known.items() if stub and not row and any(n not in told[key] for n in links)
        ]
        fetched = await self._source.fetch(short) if short else {}
        for object_id, item in fetched.items():
            if item is not None:
                told[object_id] |= {name: item[name] for name in links if name in item and name not in told[object_id]}

    def _take_told(self, item: dict[str, Any], known: Known) -> None:
        object_id, run = item["id"], self.checkpoint.run_id
        row, stub = known
        pending = self._outbox.get(object_id)
        newest = orjson.loads(pending.body) if pending and pending.body and pending.card else row or {}
        for name in self._stream.delta_links:
            if name not in item and (kept := newest.get(self._stream.column_of(name))):
                item[name] = {"id": kept}  # delta names a relation only when it changed
        columns = self._mapper(item)
        body = kept_json(columns)
        digest = int.from_bytes(hashlib.sha256(body).digest()[:8])
        old = int((row or stub or {}).get("Digest", "0"), 16)
        changed = bool(row or stub) and old != digest
        write = self._write(object_id, Act.CHANGE if row else Act.NEW, columns, body, digest, changed=changed)
        write.stored, write.stub, write.had_stub = row, stub, stub is not None
        place = self._records.find(object_id) if self._loaded else -1
        first = self._records.mark(place) if place >= 0 else self._told.add(object_id)
        reason = self._scope.left_out(item, lambda: self._day)
        if reason is None and stub and not row and not changed and stub.get("Reason") == Cause.THRESHOLD:
            reason = Cause.THRESHOLD  # told, but nothing that we keep differs: still old
        if reason:
            write.act, write.reason, write.card = Act.LEAVE if row else Act.OUTSIDE, reason, {}
            self._told_outside(write, first=first)
            return
        self._leavers.present(object_id)
        written_as, _, written_by = (row or {}).get("ChangedBy", "").partition("|")
        ours = written_by == run
        write.again = ours or written_by in self._plan.unfinished
        if self._loaded:
            self._count_caught_up(write, written_as if ours else "", first=first, changed=changed)
        elif first:
            counter = written_as if ours else "changed" if row and changed else "unchanged" if row else "new"
            counter = "returned" if counter == "new" and stub else counter
            setattr(self.progress, counter, getattr(self.progress, counter) + 1)
        if changed or not row or stub or write.again or pending:
            self._outbox.add(write)

    def _count_caught_up(self, write: Write, written_as: str, *, first: bool, changed: bool) -> None:
        """In a full read: the list has counted this object already, unless it did not bring it."""
        object_id, progress = write.object_id, self.progress
        if write.stored is None:
            known = self._back if write.stub else self._born
            if known.add(object_id):
                progress.returned += bool(write.stub)
                progress.new += not write.stub
        elif first and self._records.find(object_id) >= 0:
            progress.changed += changed or bool(written_as)
            progress.unchanged += not (changed or written_as)

    def _told_outside(self, write: Write, *, first: bool) -> None:
        stub, checkpoint = write.stub, self.checkpoint
        if write.stored and not stub and self._must_ask(write):
            self._leavers.leaves_scope(write)
            return
        # A stub of this very run was written by an attempt that died: it counts as if it had not been there.
        left = bool(write.stored) or (stub or {}).get("LeftRun") == checkpoint.run_id
        fresh = stub is None or parse_iso(stub["FirstSeenAt"]) == parse_iso(checkpoint.begun_at)
        if first and (left or fresh):
            self.progress.left_scope += left
            self.progress.out_of_scope += 1
        if write.stored:
            self._leavers.present(write.object_id)
        if write.stored or stub is None or write.changed:
            self._outbox.add(write)

    # Who is absent, who has to go

    async def _absent(self) -> None:
        progress, records = self.progress, self._records
        if self._plan.full:
            if progress.counted_after is None:
                progress.counted_after = await self._source.count()
            progress.not_seen = len(records) - records.seen_count
            if progress.not_seen and self.complete:
                async for _ in self._leavers.ask(records.unseen(), self._leavers.most_asked(len(records))):
                    await self._control.beat(progress)
                    if self._control.time_left() <= 0:
                        raise SliceOver
        else:
            progress.ids = progress.reported_present + progress.reported_removed
        if self._plan.full and self.complete:
            await self._forget_stubs()
        before = len(records) if self._plan.full else self._plan.records
        gone = await self._leavers.decide(before + progress.new + progress.returned)
        if self._plan.full:
            progress.not_seen -= sum(records.is_unseen(object_id) for object_id in gone)
        self._note_stale(set(gone))
        await self._advance(Phase.REMOVALS)

    def _note_stale(self, gone: set[str]) -> None:
        """Objects that stay although the read did not bring them: their values are not as fresh as the rest."""
        unseen = itertools.chain(self._records.unseen(), sorted(self._old))
        absent = (object_id for object_id in unseen if object_id not in gone)
        kept = dict.fromkeys(self._leavers.kept(MOST_STALE)) | dict.fromkeys(itertools.islice(absent, MOST_STALE))
        self.checkpoint.stale = sorted(kept)[:MOST_STALE]

    async def _forget_stubs(self) -> None:
        """Stubs of objects that are gone. What an earlier slice of the run saw this one can't tell, so it asks."""
        unseen = list(itertools.islice(self._stubs.unseen(), _MOST_STUBS + 1))
        if not self._fresh:
            if len(unseen) > _MOST_STUBS:
                return  # the next full read that fits one slice looks again
            answers = await self._source.ask(unseen) if unseen else {}
            unseen = [object_id for object_id in unseen if answers.get(object_id) in ("gone", "deleted")]
        if unseen:
            await self._store.drop_stubs(unseen)

    @property
    def complete(self) -> bool:
        """Whether the list brought everything: the different ids lie between Graph's counts before and after, give or
        take what it reported as changed meanwhile. An empty list proves nothing.
        """
        progress = self.progress
        if not self._plan.full:
            return True
        if progress.expected is None or progress.counted_after is None or progress.ids == 0:
            return False
        low = min(progress.expected, progress.counted_after) - progress.reported_present - progress.reported_removed
        high = max(progress.expected, progress.counted_after) + progress.reported_present + progress.reported_removed
        return low <= progress.ids <= high

    async def _remove(self) -> None:
        async for step in self._leavers.settle():
            for item in step.items:
                known = await self._store.find([item["id"]], stubs=True)
                self._take_told(item, known[item["id"]])
            await self._store.write(step.writes)
            if self._outbox:  # who leaves the scope has left before the hold is forgotten
                await self._cut()
                await self._outbox.settle()
            await self._leavers.drop(step)
            await self._control.beat(self.progress)
            if self._control.time_left() <= 0:
                raise SliceOver
        await self._advance(Phase.DONE)

    # Making it durable

    def _flush_due(self) -> bool:
        return self._outbox.due(forced=self._leavers.dirty) or self._nearly_there()

    def _nearly_there(self) -> bool:
        """A little before a long list's end, so that little is left to write when nothing else is left to do. A short list
        goes at once: half as many batches.
        """
        progress = self.progress
        left = (progress.expected or 0) - progress.read
        return (
            progress.pages > FLUSH_PAGES and self._outbox.idle and self._outbox.pages > 2 and 0 < left <= NEAR_THE_END
        )

    def _durable(self) -> Checkpoint:
        self._leavers.note()
        checkpoint = self.checkpoint
        if self._loaded:
            checkpoint.seen = checkpoint.with_seen(bytes(self._records.seen))
        return checkpoint.model_copy(deep=True)

    async def _advance(self, phase: Phase) -> None:
        """Goes on to the next part, once everything before it is durable. Where nothing was written since the last
        checkpoint there is nothing to save: a repetition finds the same.
        """
        self.checkpoint.phase = phase
        if self._outbox or self._leavers.dirty or (phase is Phase.REMOVALS and self._leavers.any):
            await self._cut()
        await self._outbox.settle()

    async def _cut(self) -> None:
        """Hands what is pending to the writer, once the writer is done with what it had: one batch waits at most."""
        await self._outbox.settle()
        durable = self._durable()
        self._outbox.send(lambda writes: self._flush(writes, durable))

    async def _flush(self, writes: list[Write], durable: Checkpoint) -> None:
        if writes:
            if self._unannounced:
                await self._control.save(self._unannounced)
                self._unannounced = None
            await self._store.write(writes)
        await self._leavers.flush()
        await self._control.save(durable)

    async def _start_again(self) -> None:
        """Begins the enumeration anew with what was seen kept: reading an object twice costs nothing."""
        await self._cut()
        await self._outbox.settle()
        checkpoint, pages = self.checkpoint, self.progress.pages
        stuck = 0 if pages > checkpoint.best_pages else checkpoint.stuck + 1
        if stuck >= _MOST_STUCK:
            raise SourceProblem(
                f"Microsoft Graph dropped its page token {self.progress.restarts + 1} times, the last {_MOST_STUCK} times "
                f"before page {checkpoint.best_pages}.",
                code="graph-page-token-expired",
                remedy="Everybody read so far is stored and nobody was removed; the next run begins again by itself.",
                transient=True,
            )
        self.progress.restarts += 1
        self.progress.pages = self.progress.read = 0
        # Objects out of scope are counted anew; those that left in this run keep their mark and their count.
        self.progress.out_of_scope -= checkpoint.outside
        checkpoint.outside = 0
        self._outside = IdSet()
        self._stubs.start()
        checkpoint.best_pages, checkpoint.stuck = max(pages, checkpoint.best_pages), stuck
        checkpoint.next_link = None
        if self.progress.restarts >= _ENOUGH_RESTARTS and checkpoint.delta_link:
            checkpoint.phase = Phase.ENUMERATING
        await self._control.save(self._durable())


def _loop() -> SourceProblem:
    return SourceProblem(
        "Microsoft Graph sent a page that links to itself.",
        code="graph-page-loop", remedy="The next run tries again by itself.", transient=True,
    )  # fmt: skip
