"""What changed since a delta link was made, while the list was read or since the last run."""

from typing import Any

from shared.clock import parse_iso
from shared.domain.checkpoint import Phase
from shared.domain.page import Page
from shared.domain.removal import Cause
from shared.domain.write import Act, Known, Write, changed_day
from shared.graph.answers import Missing, PageTokenExpired, ResyncNeeded
from shared.graph.guard import PageGuard
from shared.sync.index import IdSet
from shared.sync.plan import SliceOver, StartOver
from shared.sync.reading import Mapped, Reading


class CatchUp:
    """A delta round, or the end of a full read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def read(self) -> None:
        reading = self._reading
        if reading.buffer:
            await reading.cut()
        link = reading.checkpoint.next_link or reading.checkpoint.delta_link
        assert link
        guard, met = PageGuard(), IdSet()
        try:
            while True:
                page = await reading.source.changes(link)
                await reading.buffer.settle()  # told objects are compared with stored rows
                await self._take_changes(page)
                await reading.control.beat(reading.progress)
                for item in page.items:
                    met.add(item["id"])
                guard.follow(page.next_link, len(page.items), len(met))
                if page.next_link is None:
                    break
                link = reading.checkpoint.next_link = page.next_link
                if reading.flush_due():
                    await reading.cut()
                if reading.control.time_left() <= 0:
                    raise SliceOver
        except (ResyncNeeded, Missing, PageTokenExpired) as refused:
            if not reading.plan.full:
                expired = isinstance(refused, PageTokenExpired)
                raise StartOver("delta-page-token-expired" if expired else "delta-expired") from refused
            page = Page([], None, None)  # nothing to catch up with: the next run reads everything again
        reading.checkpoint.delta_link, reading.checkpoint.next_link = page.delta_link, None
        await reading.advance(Phase.ABSENT)

    async def _take_changes(self, page: Page) -> None:
        reading = self._reading
        reading.note_oddities(page)
        told: dict[str, dict[str, Any]] = {}  # the last word on each counts; what it leaves out an earlier one may say
        for item in page.items:
            earlier = told.get(item["id"], {})
            told[item["id"]] = item if "@removed" in item or "@removed" in earlier else {**earlier, **item}
        present = [object_id for object_id, item in told.items() if "@removed" not in item]
        known = await reading.store.find(present, stubs=bool(reading.plan.stubs) or reading.scoped)
        brought = reading.parts.in_changes
        short = [told[object_id] for object_id in present if not brought <= told[object_id].keys()]
        whole = await reading.completed(short, known)
        gone = {item["id"] for item in short} - whole.keys()  # by now, or out of scope without a clear answer
        for object_id, item in told.items():
            if object_id in reading.old:
                reading.old.discard(object_id)
                reading.checkpoint.met.append(object_id)
            if "@removed" in item:
                reading.counts.told(present=False)
                reading.leavers.reported(item)
            elif object_id not in gone:
                reading.counts.told(present=True)
                shown, mapped = whole.get(object_id) or (item, None)
                self.take(shown, mapped, known[object_id])
        if not reading.plan.full:
            reading.counts.page(len(page.items))
        reading.buffer.pages += 1

    def take(self, item: dict[str, Any], mapped: Mapped | None, known: Known, *, judged: bool = False) -> None:
        """One object as Graph tells it now, compared with its stored rows. `mapped`: what is to be stored, where `item` is
        not all of it; `judged`: requested because a person let it leave the scope. It is not counted yet, and the request
        does not mean that it changed.
        """
        reading = self._reading
        object_id, run = item["id"], reading.checkpoint.run_id
        row, stub = known
        pending = reading.buffer.get(object_id)
        made = mapped or reading.mapped(item)
        columns, _body, digest = made
        if not columns and reading.stream.sparse:
            return
        old = int((row or stub or {}).get("Digest", "0"), 16)
        changed = bool(row or stub) and old != digest
        write = reading.write_of(object_id, Act.CHANGE if row else Act.NEW, made, changed=changed)
        write.stored, write.stub, write.had_stub = row, stub, stub is not None
        seen = reading.seen
        place = seen.records.find(object_id) if seen.loaded else -1
        first = (seen.records.mark(place) if place >= 0 else seen.told.add(object_id)) or judged
        day = reading.day if changed or not judged else changed_day(row or stub or {}) or None
        reason = reading.scope.left_out(item, lambda: day, inside=row is not None)
        if reason is None and stub and not row and not changed and stub.get("Reason") == Cause.THRESHOLD:
            reason = Cause.THRESHOLD  # told, but nothing that we keep differs: still old
        if reason:
            write.act, write.reason, write.card = Act.LEAVE if row else Act.OUTSIDE, reason, {}
            self._told_outside(write, first=first)
            return
        reading.leavers.present(object_id)
        written_as, _, written_by = (row or {}).get("ChangedBy", "").partition("|")
        ours = written_by == run
        write.again = ours or written_by in reading.plan.unfinished
        if seen.loaded:
            self._count_caught_up(write, written_as if ours else "", first=first, changed=changed)
        elif first:
            counter = written_as if ours else "changed" if row and changed else "unchanged" if row else "new"
            counter = "returned" if counter == "new" and stub else counter
            reading.counts.as_written(counter)
        if changed or not row or stub or write.again or pending:
            reading.buffer.add(write)

    def _count_caught_up(self, write: Write, written_as: str, *, first: bool, changed: bool) -> None:
        """In a full read: the list has counted this object already, unless it did not bring it."""
        reading = self._reading
        object_id, seen = write.object_id, reading.seen
        if write.stored is None:
            known = seen.back if write.stub else seen.born
            if known.add(object_id):
                reading.counts.added(returned=bool(write.stub))
        elif first and seen.records.find(object_id) >= 0:
            reading.counts.known(changed=changed or bool(written_as))

    def _told_outside(self, write: Write, *, first: bool) -> None:
        reading = self._reading
        stub, checkpoint = write.stub, reading.checkpoint
        if write.stored and not stub and reading.must_ask(write):
            reading.leavers.leaves_scope(write)
            return
        # A stub of this very run was written by an attempt that died: it counts as if it had not existed.
        left = bool(write.stored) or (stub or {}).get("LeftRun") == checkpoint.run_id
        fresh = stub is None or parse_iso(stub["FirstSeenAt"]) == parse_iso(checkpoint.begun_at)
        if first and (left or fresh):
            reading.counts.outside(left=left)
        if write.stored:
            reading.leavers.present(write.object_id)
        if write.stored or stub is None or write.changed:
            reading.buffer.add(write)
