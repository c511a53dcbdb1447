"""The whole list, page by page: each object is mapped, compared with what is stored, and written if it differs."""

from typing import Any

from shared.domain.checkpoint import Phase
from shared.domain.write import Act, Write
from shared.errors import SourceProblem
from shared.graph.answers import PageTokenExpired, ResyncNeeded
from shared.graph.listing import Page
from shared.sync.index import IdSet, packed
from shared.sync.plan import SliceOver
from shared.sync.reading import Reading, page_loop, write_of

_TURN = 50  # objects between two turns of the event loop: the next request must leave, the lease be renewed
_MOST_STUCK = 3
_ENOUGH_RESTARTS = 2  # the list's page token died so often: delta's own pages take over


class Lister:
    """The first part of a full read. `read` is called until the checkpoint is past it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._outside = IdSet()  # out of scope, and no stub of theirs was there

    async def read(self) -> None:
        try:
            await self._enumerate()
        except (PageTokenExpired, ResyncNeeded):
            await self._start_again()

    async def _enumerate(self) -> None:
        reading = self._reading
        fetch_page = reading.source.enumerate if reading.checkpoint.phase is Phase.ENUMERATING else reading.source.page
        link = reading.checkpoint.next_link
        while True:
            page = await fetch_page(link)
            if page.next_link is not None and page.next_link == link:
                raise page_loop()
            link = page.next_link
            await self._take(page, link)
            await reading.control.beat(reading.progress)
            if link is None:
                self._end_listing(page)
                await reading.cut()
                reading.progress.counted_after = await reading.source.count()
                await reading.outbox.settle()
                return
            if reading.flush_due():
                await reading.cut()
            if reading.control.time_left() <= 0:
                raise SliceOver

    def _end_listing(self, page: Page) -> None:
        reading = self._reading
        checkpoint = reading.checkpoint
        reading.progress.ids = reading.records.seen_count + len(reading.born) + len(reading.back) + checkpoint.outside
        if checkpoint.phase is Phase.ENUMERATING and page.delta_link:
            checkpoint.delta_link = page.delta_link
        checkpoint.phase = Phase.CHANGES if checkpoint.delta_link else Phase.ABSENT
        checkpoint.next_link = None

    async def _take(self, page: Page, next_link: str | None) -> None:
        reading = self._reading
        for number, item in enumerate(page.items):
            if number % _TURN == _TURN - 1:
                await reading.control.way.give()
            if "@removed" in item:
                reading.leavers.reported(item)
            else:
                self._take_one(item)
        progress = reading.progress
        progress.pages += 1
        progress.read += len(page.items)
        reading.checkpoint.next_link = next_link
        reading.outbox.pages += 1

    def _take_one(self, item: dict[str, Any]) -> None:  # noqa: C901 - the hot path: each case is one line
        reading = self._reading
        object_id = item["id"]
        columns, body, digest = reading.mapped(item)
        key = packed(object_id)
        place, stub = reading.records.find_packed(key), reading.stubs.find_packed(key)
        changed = (place >= 0 and reading.records.digest(place) != digest) or (
            place < 0 and stub >= 0 and reading.stubs.digest(stub) != digest
        )
        if reading.scoped and (
            reason := reading.scope.left_out(
                item,
                lambda: self._last_change(place, stub, changed=changed),
                lambda: reading.recent.has_packed(key) or (place < 0 and stub < 0),
            )
        ):
            self._leave_out(Write(object_id, Act.OUTSIDE, {}, body, digest, reason, changed=changed), place, stub)
            return
        reading.leavers.present(object_id)
        if place >= 0 and not changed and stub < 0:
            if reading.records.mark(place):
                if reading.touched.has_packed(key):
                    reading.progress.changed += 1
                else:
                    reading.progress.unchanged += 1
            if reading.plan.unfinished and object_id in reading.lagging:
                reading.outbox.add(write_of(object_id, Act.CHANGE, columns, body, digest, again=True))
            return
        write = write_of(object_id, Act.NEW, columns, body, digest, had_stub=stub >= 0, changed=changed)
        if place >= 0:
            write.act, write.again = Act.CHANGE, reading.lagging.has_packed(key)
            if reading.records.mark(place):
                reading.progress.changed += changed
                reading.progress.unchanged += not changed
        elif reading.back.has_packed(key) or (stub >= 0 and reading.born.has_packed(key)):
            write.act, write.again = Act.CHANGE, True
        elif stub < 0 and not reading.born.add_packed(key):
            write.act, write.again = Act.CHANGE, True  # written by this run already: perhaps by an attempt that died
        elif stub >= 0:
            reading.back.add_packed(key)
            reading.progress.returned += 1
        else:
            reading.progress.new += 1
        reading.outbox.add(write)

    def _last_change(self, place: int, stub: int, *, changed: bool) -> int | None:
        """The day of the last change that we saw; today for one seen just now."""
        reading = self._reading
        if changed:
            return reading.day
        if place >= 0:
            return reading.records.changed_day(place) or None
        return (reading.stubs.changed_day(stub) or None) if stub >= 0 else None

    def _leave_out(self, write: Write, place: int, stub: int) -> None:
        reading = self._reading
        object_id = write.object_id
        write.had_stub = stub >= 0
        here = place >= 0 or object_id in reading.born or object_id in reading.back
        if place >= 0:
            first = reading.records.mark(place)
        else:
            first = reading.stubs.mark(stub) if stub >= 0 else self._outside.add(object_id)
        if here and stub < 0 and reading.must_ask(write):
            reading.leavers.leaves_scope(write)
            return
        if first:
            reading.progress.out_of_scope += 1
            reading.checkpoint.outside += place < 0 and not here
        if here:
            write.act = Act.LEAVE
            reading.progress.left_scope += first
            reading.leavers.present(object_id)  # nothing waits for a person any more
            reading.outbox.add(write)
        elif stub < 0 or write.changed:
            reading.outbox.add(write)

    async def _start_again(self) -> None:
        """Begins the enumeration anew with what was seen kept: reading an object twice costs nothing."""
        reading = self._reading
        await reading.cut()
        await reading.outbox.settle()
        checkpoint, pages = reading.checkpoint, reading.progress.pages
        stuck = 0 if pages > checkpoint.best_pages else checkpoint.stuck + 1
        if stuck >= _MOST_STUCK:
            raise SourceProblem(
                f"Microsoft Graph dropped its page token {reading.progress.restarts + 1} times, the last {_MOST_STUCK} times "
                f"before page {checkpoint.best_pages}.",
                code="graph-page-token-expired",
                remedy="Everybody read so far is stored and nobody was removed; the next run begins again by itself.",
                transient=True,
            )
        reading.progress.restarts += 1
        reading.progress.pages = reading.progress.read = 0
        # Objects out of scope are counted anew; those that left in this run keep their mark and their count.
        reading.progress.out_of_scope -= checkpoint.outside
        checkpoint.outside = 0
        self._outside = IdSet()
        reading.stubs.start()
        checkpoint.best_pages, checkpoint.stuck = max(pages, checkpoint.best_pages), stuck
        checkpoint.next_link = None
        if reading.progress.restarts >= _ENOUGH_RESTARTS and checkpoint.delta_link:
            checkpoint.phase = Phase.ENUMERATING
        await reading.control.save(reading.durable())
