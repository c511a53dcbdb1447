"""The whole list, page by page: each object is mapped, compared with what is stored, and written if it differs."""

from typing import Any

from shared.domain.checkpoint import Phase
from shared.domain.page import Page
from shared.domain.write import Act, Write
from shared.errors import SourceProblem
from shared.graph.answers import PageTokenExpired, ResyncNeeded
from shared.graph.guard import PageGuard
from shared.sync.index import packed
from shared.sync.plan import SliceOver
from shared.sync.reading import Mapped, Reading

_TURN = 50  # objects between two turns of the event loop: the next request must leave, the lease be renewed


class Lister:
    """The first part of a full read. `read` is called until the checkpoint is past it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._short: list[dict[str, Any]] = []

    async def read(self) -> None:
        try:
            await self._enumerate()
        except (PageTokenExpired, ResyncNeeded):
            await self._start_again()

    async def _enumerate(self) -> None:
        reading = self._reading
        fetch_page = reading.source.enumerate if reading.checkpoint.phase is Phase.ENUMERATING else reading.source.page
        link = reading.checkpoint.next_link
        guard = PageGuard(reading.progress.expected)
        while True:
            page = await fetch_page(link)
            link, count = page.next_link, len(page.items)
            await self._take(page, link)
            guard.follow(link, count, reading.seen.different + reading.checkpoint.outside)
            await reading.control.beat(reading.progress)
            if link is None:
                self._end_listing(page)
                await reading.cut()
                reading.progress.counted_after = await reading.source.count()
                await reading.buffer.settle()
                return
            if reading.flush_due():
                await reading.cut()
            if reading.control.time_left() <= 0:
                raise SliceOver

    def _end_listing(self, page: Page) -> None:
        reading = self._reading
        checkpoint = reading.checkpoint
        different = reading.seen.different + checkpoint.outside + checkpoint.empty
        reading.progress.ids = different + reading.progress.nameless
        if checkpoint.phase is Phase.ENUMERATING and page.delta_link:
            checkpoint.delta_link = page.delta_link
        checkpoint.phase = Phase.CHANGES if checkpoint.delta_link else Phase.ABSENT
        checkpoint.next_link = None

    async def _take(self, page: Page, next_link: str | None) -> None:
        """Takes the page apart: an object is freed once it was looked at, while its row waits to be written, and nothing of the
        page is left when the next one is parsed.
        """
        reading, items, count = self._reading, page.items, len(page.items)
        reading.note_oddities(page)
        items.reverse()
        while items:
            item = items.pop()
            if len(items) % _TURN == 0:
                await reading.control.way.give()
            if "@removed" in item:
                reading.leavers.reported(item)
            else:
                self._take_one(item)
        await self._take_short()
        reading.counts.page(count)
        reading.checkpoint.next_link = next_link
        reading.buffer.pages += 1

    async def _take_short(self) -> None:
        """Known objects of this page that lack properties and seem to differ: with what is stored they may not."""
        items, self._short = self._short, []
        if not items:
            return
        reading = self._reading
        await reading.buffer.settle()
        stubs = bool(reading.plan.stubs) or reading.scoped
        known = await reading.store.find([item["id"] for item in items], stubs=stubs)
        for item, mapped in (await reading.completed(items, known)).values():
            self._take_one(item, mapped)

    def _take_one(self, item: dict[str, Any], mapped: Mapped | None = None) -> None:  # noqa: C901, PLR0912 - the hot path
        """`mapped`: what is to be stored, where the page did not bring all of it."""
        reading, seen = self._reading, self._reading.seen
        object_id = item["id"]
        made = mapped or reading.mapped(item)
        columns, body, digest = made
        if not columns and reading.stream.sparse:
            reading.checkpoint.empty += seen.empty.add(object_id)
            return
        key = packed(object_id)
        place, stub = seen.records.find_packed(key), seen.stubs.find_packed(key)
        changed = (place >= 0 and seen.records.digest(place) != digest) or (
            place < 0 and stub >= 0 and seen.stubs.digest(stub) != digest
        )
        known = changed or (reading.scoped and place < 0 and (seen.born.has_packed(key) or seen.back.has_packed(key)))
        if known and mapped is None and self._is_short(item):
            return
        if reading.scoped and (
            reason := reading.scope.left_out(
                item,
                lambda: self._last_change(place, stub, changed=changed),
                lambda: seen.recent.has_packed(key) or (place < 0 and stub < 0),
                inside=place >= 0,
            )
        ):
            self._leave_out(Write(object_id, Act.OUTSIDE, {}, body, digest, reason, changed=changed), place, stub)
            return
        reading.leavers.present(object_id)
        if place >= 0 and not changed and stub < 0:
            if seen.records.mark(place):
                reading.counts.known(changed=seen.touched.has_packed(key))
            if reading.plan.look_ups_anew or (reading.plan.unfinished and object_id in seen.lagging):
                write = reading.write_of(object_id, Act.CHANGE, made)
                write.again = True
                reading.buffer.add(write)
            return
        write = reading.write_of(object_id, Act.NEW, made, had_stub=stub >= 0, changed=changed)
        if place >= 0:
            write.act, write.again = Act.CHANGE, seen.lagging.has_packed(key)
            if seen.records.mark(place):
                reading.counts.known(changed=changed)
        elif seen.back.has_packed(key) or (stub >= 0 and seen.born.has_packed(key)):
            if mapped is None and self._is_short(item):
                return
            write.act, write.again = Act.CHANGE, True
        elif stub < 0 and not seen.born.add_packed(key):
            if mapped is None and self._is_short(item):
                return
            write.act, write.again = Act.CHANGE, True  # written by this run already: perhaps by an attempt that died
        else:
            if stub >= 0:
                seen.back.add_packed(key)
            reading.counts.added(returned=stub >= 0)
        reading.buffer.add(write)

    def _is_short(self, item: dict[str, Any]) -> bool:
        """Whether a known object lacks properties: then it is completed at the end of the page."""
        short = not self._reading.parts.in_list <= item.keys()
        if short:
            self._short.append(item)
        return short

    def _last_change(self, place: int, stub: int, *, changed: bool) -> int | None:
        """The day of the last change that we saw; today for one seen just now."""
        reading, seen = self._reading, self._reading.seen
        if changed:
            return reading.day
        if place >= 0:
            return seen.records.changed_day(place) or None
        return (seen.stubs.changed_day(stub) or None) if stub >= 0 else None

    def _leave_out(self, write: Write, place: int, stub: int) -> None:
        reading, seen = self._reading, self._reading.seen
        object_id = write.object_id
        write.had_stub = stub >= 0
        here = seen.here(place, object_id)
        if place >= 0:
            first = seen.records.mark(place)
        else:
            first = seen.stubs.mark(stub) if stub >= 0 else seen.outside.add(object_id)
        if here and stub < 0 and reading.must_ask(write):
            reading.leavers.leaves_scope(write)
            return
        if first:
            reading.counts.outside(left=here)
            reading.checkpoint.outside += place < 0 and not here
        if here:
            write.act = Act.LEAVE
            reading.leavers.present(object_id)  # nothing waits for a person any more
            reading.buffer.add(write)
        elif stub < 0 or write.changed:
            reading.buffer.add(write)

    async def _start_again(self) -> None:
        """Begins the enumeration anew with what was seen kept: reading an object twice costs nothing."""
        reading, limits = self._reading, self._reading.control.limits
        await reading.cut()
        await reading.buffer.settle()
        checkpoint, pages = reading.checkpoint, reading.progress.pages
        stuck = 0 if pages > checkpoint.best_pages else checkpoint.stuck + 1
        if stuck >= limits.stuck:
            raise SourceProblem(
                f"Microsoft Graph dropped its page token {reading.progress.restarts + 1} times, the last {limits.stuck} "
                f"times before page {checkpoint.best_pages}.",
                code="graph-page-token-expired",
                remedy="Everything read so far is stored and nobody was removed; the next run begins again by itself.",
                transient=True,
            )
        reading.counts.begin_again(checkpoint.outside)
        reading.seen.begin_again()
        checkpoint.outside = checkpoint.empty = 0
        checkpoint.best_pages, checkpoint.stuck = max(pages, checkpoint.best_pages), stuck
        checkpoint.next_link = None
        if reading.progress.restarts >= limits.restarts and checkpoint.delta_link:
            checkpoint.phase = Phase.ENUMERATING
        await reading.control.save(reading.durable())
