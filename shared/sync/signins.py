"""When people last signed in: ten requests a minute for a tenant and app, 500 people a page, in runs of its own.

A full pass every week; in between only those who signed in since the last pass. Where Microsoft denies it the values say
why they are missing, and the next run tries again.
"""

import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from shared.clock import Clock, iso, parse_iso
from shared.compact import kept_json
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint, StreamState
from shared.domain.receipt import Receipt, StreamReceipt
from shared.domain.run import Problem, StreamProgress, Waits
from shared.domain.write import Act, Write
from shared.errors import SourceProblem
from shared.graph.answers import Denied, PageTokenExpired, Postponed, ResyncNeeded
from shared.graph.client import GraphClient
from shared.graph.credentials import token_roles
from shared.graph.listing import DirectoryReader, Listing, Page
from shared.mapping.compiled import compile_mapping, fingerprint, selected
from shared.storage.bulk import BulkTables
from shared.storage.records import Authorship, Home, RecordStore
from shared.storage.runs import put_receipt, put_stream
from shared.storage.slots import Slot, Slots
from shared.sync.index import IdSet, Index
from shared.sync.plan import SliceOver
from shared.sync.slice import Cancelled, Slice, problem_of
from shared.sync.tenant import Configured, attribute_marks, configured, not_granted, sign_in

SERVICE = "sign-in-activity"
REQUESTS, WINDOW = 10, 60.0
FULL_EVERY = timedelta(days=7)
OVERLAP = timedelta(hours=24)  # Microsoft writes a sign-in down hours later
_SHORT_WAIT = 3.0
_DENIED_TRIES = 3  # Graph is known to deny a licensed tenant now and then
_DENIED_RUNS = 3  # so many runs in a row: then values that were read once count as out of reach


async def read(work: Slice) -> None:
    found = await configured(work)
    assert found.kind.sign_ins
    if not found.connector.options.collect_sign_ins:
        raise Cancelled
    bulk = work.services.bulk()
    bulk.guard = work.lease.guard
    graph = await asyncio.to_thread(sign_in, work, found)
    pass_ = SignIns(work, found, found.kind.sign_ins, graph, bulk)
    try:
        await pass_.read()
    finally:
        await pass_.release()
        await graph.close()
        await bulk.close()


class Pace:
    """Ten requests in any minute, counted across runs in the slot's row. Short waits are waited, long ones postpone the
    run, so that no worker stands still for them.
    """

    def __init__(self, slots: Slots, slot: Slot, clock: Clock, waits: Waits) -> None:
        self._slots, self.slot, self._clock, self._waits = slots, slot, clock, waits

    async def turn(self) -> None:
        now = self._clock.now().timestamp()
        recent = sorted(
            min(at, now) for at in self.slot.recent if now - at < WINDOW
        )  # a clock set back: count it as now
        if len(recent) >= REQUESTS:
            wait = recent[-REQUESTS] + WINDOW - now + 0.5
            self._waits.paced_seconds = round(self._waits.paced_seconds + wait, 1)
            if wait > _SHORT_WAIT:
                raise Postponed(wait)
            await self._clock.sleep(wait)
            now = self._clock.now().timestamp()
        self.slot = replace(self.slot, recent=(*recent, now)[-REQUESTS:])
        await self.save()

    async def give_back(self) -> None:
        self.slot = replace(self.slot, holder="")
        await asyncio.to_thread(self._slots.save, self.slot)

    async def save(self) -> None:
        saved = await asyncio.to_thread(self._slots.save, self.slot)
        if saved is None:
            raise Postponed(WINDOW)  # somebody else took it: wait for a turn
        self.slot = saved


class SignIns:
    """One slice of a pass."""

    def __init__(self, work: Slice, found: Configured, stream: Stream, graph: GraphClient, bulk: BulkTables) -> None:
        self._work, self._run, self._found, self._stream = work, work.run, found, stream
        self._graph, self._bulk = graph, bulk
        self._mapper = compile_mapping(stream.attributes)
        self._state = StreamState()
        self._pace: Pace | None = None
        self._born, self._touched = IdSet(), IdSet()
        self._receipt = Receipt(run_id=work.run.id, connector_id=work.run.connector_id)

    async def read(self) -> None:
        work, run, stream = self._work, self._run, self._stream
        self._state = await asyncio.to_thread(work.services.runs.stream, run.track, stream.name)
        if not run.streams:
            run.streams = [StreamProgress(name=stream.name)]
        try:
            roles = token_roles(await self._graph.token())
            self._receipt.permissions_granted = sorted(roles)
            self._receipt.permissions_needed = sorted({"User.Read.All", stream.permission.name})
            if not stream.permission.granted(roles):
                raise not_granted(stream)
            await self._take_slot()
            await self._pass()
        except Denied as denied:
            self._denied(denied)

    async def _take_slot(self) -> None:
        slots, run = Slots(self._work.services.tables), self._run
        app = str(self._found.credential.body.get("clientId") or "identity")
        slot = await asyncio.to_thread(slots.get, self._found.source.tenant_id, app, SERVICE)
        if slot.holder not in ("", run.id):
            other = await asyncio.to_thread(self._work.services.runs.get, slot.holder)
            if other and not other.state.closed:
                raise Postponed(WINDOW)
        self._pace = Pace(slots, replace(slot, holder=run.id), self._work.clock, run.waits)
        await self._pace.save()

    async def release(self) -> None:
        """Gives the slot back unless the run goes on."""
        if self._pace and (not self._run.streams or self._run.streams[0].phase in ("done", "failed")):
            await self._pace.give_back()

    def _why_full(self, now: datetime) -> str:
        if self._state.full_at is None or self._state.completed_at is None:
            return "first-read"
        if self._run.full:
            return "asked"
        if self._state.mapping != attribute_marks(self._stream):
            return "mapping-changed"
        age = now - parse_iso(self._state.full_at)
        ahead = parse_iso(self._state.completed_at) > now  # made with another clock: asking since then brings nobody
        return "full-due" if ahead or not timedelta() <= age < FULL_EVERY else ""

    async def _pass(self) -> None:
        work, run, state, stream = self._work, self._run, self._state, self._stream
        mark = fingerprint(self._found.connector.source_id, self._graph.tenant_id, self._graph.base_url)
        checkpoint = state.for_run(run.id, mark)
        if checkpoint is None:
            now = work.clock.now()
            reason = self._why_full(now)
            progress = StreamProgress(
                name=stream.name, mode="full" if reason else "delta", reason=reason, phase="reading"
            )
            checkpoint = Checkpoint(run_id=run.id, fingerprint=mark, begun_at=iso(now), progress=progress)
        progress = checkpoint.progress
        since = ""
        if progress.mode == "delta" and state.completed_at:
            moment = parse_iso(state.completed_at) - OVERLAP
            since = f"signInActivity/lastSignInDateTime ge {moment:%Y-%m-%dT%H:%M:%SZ}"
        listing = Listing(
            stream.path, selected(stream.attributes), f"{stream.permission.name} and User.Read.All",
            page_size=stream.page_size, filter=since,
        )  # fmt: skip
        home = Home(self._found.connector.source_id, run.connector_id, stream.name, stream.record_type)
        store = RecordStore(self._bulk, home, Authorship(run.id, parse_iso(checkpoint.begun_at)), work.lease.guard)
        index = await self._index(store, checkpoint)
        reader = DirectoryReader(self._graph, listing)
        while True:
            page = await self._page(reader, checkpoint)
            if page is None:
                continue
            await self._take(page, store, index, progress)
            checkpoint.next_link = page.next_link
            checkpoint.seen = checkpoint.with_seen(bytes(index.seen))
            state.checkpoint = checkpoint
            work.show(progress)
            if page.next_link is None:
                break
            await work.commit([put_stream(run.track, stream.name, state)])
            await work.beat(progress)
            if work.time_left() <= 0:
                raise SliceOver
        if progress.mode == "full":
            await self._clean(store, index, home)
        self._finish(checkpoint)

    async def _index(self, store: RecordStore, checkpoint: Checkpoint) -> Index:
        """What was stored when the pass began. Rows that this run wrote already (an attempt may have died behind them)
        are told apart, so that they are counted once.
        """
        index, run = Index(), self._run.id
        async for heads in store.heads():
            for head in heads:
                if head.written_by == run:
                    (self._born if head.written_as == "new" else self._touched).add(head.object_id)
            index.load((h.object_id, h.digest, 0) for h in heads if h.object_id not in self._born)
        index.start(checkpoint.seen_bits() if checkpoint.stored == len(index) else None)
        checkpoint.stored = len(index)
        return index

    async def _page(self, reader: DirectoryReader, checkpoint: Checkpoint) -> Page | None:
        """The next page; None where the list begins again because Graph dropped its token: once, not twice."""
        assert self._pace
        for attempt in range(_DENIED_TRIES):
            await self._pace.turn()
            try:
                return await reader.page(checkpoint.next_link)
            except Denied as denied:
                if denied.reason != "licence" or attempt == _DENIED_TRIES - 1:
                    raise
            except (PageTokenExpired, ResyncNeeded):
                progress = checkpoint.progress
                if progress.restarts:
                    raise SourceProblem(
                        "Microsoft Graph dropped the page token of sign-in activity twice.",
                        code="graph-page-token-expired",
                        remedy="Everything read so far is stored; the next run begins again by itself.",
                        transient=True,
                    ) from None
                progress.restarts += 1
                progress.pages = progress.read = 0
                checkpoint.next_link = None
                return None
        raise AssertionError

    async def _take(self, page: Page, store: RecordStore, index: Index, progress: StreamProgress) -> None:
        writes = []
        for item in page.items:
            columns = self._mapper(item)
            progress.read += 1
            if not columns:
                continue  # never signed in: no row says so, the pass does
            body = kept_json(columns)
            digest = int.from_bytes(hashlib.sha256(body).digest()[:8])
            place = index.find(item["id"])
            first = index.mark(place) if place >= 0 else True
            if place >= 0 and index.digest(place) == digest:
                touched = item["id"] in self._touched
                progress.changed += first and touched
                progress.unchanged += first and not touched
                continue
            progress.changed += place >= 0 and first
            progress.new += place < 0
            writes.append(Write(item["id"], Act.CHANGE, {}, body, digest))
        progress.pages += 1
        progress.ids = progress.read
        await store.write(writes)

    async def _clean(self, store: RecordStore, index: Index, home: Home) -> None:
        """Rows of people who are not in the copy any more."""
        people = RecordStore(
            self._bulk, replace(home, stream="users", record_type="person"), store.author, self._work.lease.guard
        )
        unseen = list(index.unseen())
        for start in range(0, len(unseen), 200):
            chunk = unseen[start : start + 200]
            known = await people.find(chunk, stubs=True)
            gone = [key for key in chunk if known[key].row is None and known[key].stub is None]
            await store.write([Write(key, Act.REMOVE, {}, b"", 0, "") for key in gone])

    def _finish(self, checkpoint: Checkpoint) -> None:
        state, stream, run, progress = self._state, self._stream, self._run, checkpoint.progress
        progress.phase = "done"
        state.completed_at, state.checkpoint, state.refused = checkpoint.begun_at, None, 0
        if progress.mode == "full":
            state.full_at = checkpoint.begun_at
        state.mapping = attribute_marks(stream)
        state.attributes = [a.name for a in stream.attributes]
        state.missing = {}
        state.records = checkpoint.stored + progress.new
        self._work.show(progress)
        receipt = StreamReceipt(
            stream=stream.name, mode=progress.mode, reason=progress.reason, begun_at=parse_iso(checkpoint.begun_at),
            complete=True, pages=progress.pages, read=progress.read, ids=progress.read, records=state.records,
            new=progress.new, changed=progress.changed, unchanged=progress.unchanged,
        )  # fmt: skip
        self._receipt.streams = [receipt]
        self._work.later(put_stream(run.track, stream.name, state), put_receipt(run, self._receipt))

    def _denied(self, denied: Denied) -> None:
        """The values are missing for a reason; the run itself did what it could."""
        state, stream, run = self._state, self._stream, self._run
        state.refused += 1
        state.checkpoint = None
        if state.full_at is None or state.refused >= _DENIED_RUNS:
            state.missing = {a.name: denied.reason for a in stream.attributes}
        self._receipt.missing_streams[stream.name] = denied.code
        problem: Problem = problem_of(denied, stream.name)
        run.problems.append(problem)
        self._work.phase(stream.name, "done")
        self._work.later(put_stream(run.track, stream.name, state), put_receipt(run, self._receipt))
