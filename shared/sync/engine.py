"""One stream, read whole: fetch -> map -> compare -> write -> checkpoint. Knows pages and records, no Azure.

While one page is worked on the next is being fetched and the last batch of rows is being written. A checkpoint names the
last page of which every row is durable, so whatever kills this worker costs at most the pages behind it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.clock import Clock, iso
from shared.compact import kept_json
from shared.connectors.base import Stream
from shared.domain.checkpoint import Checkpoint
from shared.domain.run import StreamProgress
from shared.domain.write import CARD_COLUMNS, Act, Head, Write
from shared.errors import SourceProblem
from shared.graph.answers import PageTokenExpired, Postponed
from shared.graph.listing import Page
from shared.mapping.compiled import compile_mapping
from shared.sync.index import IdSet, Index
from shared.sync.scope import Scope

FLUSH_PAGES, FLUSH_SECONDS, FLUSH_BYTES = 8, 20.0, 16 * 1024 * 1024
_TURN = 250  # objects between two turns of the event loop: the next request must leave, the lease be renewed
_MOST_STUCK = 3


class SliceOver(Exception):
    """The time budget is used up; everything up to the checkpoint is durable."""


class Pages(Protocol):
    """A listing: pages by link, and the service's own count."""

    async def page(self, link: str | None) -> Page: ...
    async def count(self) -> int | None: ...


class Store(Protocol):
    """The records of one stream."""

    def heads(self, table: str = ...) -> AsyncIterator[list[Head]]: ...
    async def write(self, writes: Sequence[Write]) -> int: ...


@dataclass(frozen=True)
class Control:
    """What the run allows and wants to know: `save` makes a checkpoint durable, `beat` reports progress and raises
    when the run was cancelled or the lease is lost, `time_left` is the slice's rest in seconds.
    """

    save: Callable[[Checkpoint], Awaitable[None]]
    beat: Callable[[StreamProgress], Awaitable[None]]
    time_left: Callable[[], float]
    clock: Clock


class StreamReader:
    """Reads one stream for one run; made anew in every slice."""

    def __init__(
        self,
        stream: Stream,
        pages: Pages,
        store: Store,
        scope: Scope,
        control: Control,
        run_id: str,
        checkpoint: Checkpoint | None,
        fingerprint: str = "",
    ) -> None:
        self._stream, self._pages, self._store = stream, pages, store
        self._scope, self._control, self._run_id = scope, control, run_id
        self._resumed, self._fingerprint = checkpoint, fingerprint
        self._mapper = compile_mapping(stream.attributes)
        self._records, self._stubs, self._born = Index(), Index(), IdSet()
        self._pending: dict[str, Write] = {}
        self._pending_bytes = 0
        self._pages_since = 0
        self._flushed_at = control.clock.monotonic()
        self._writing: asyncio.Task[None] | None = None
        self.checkpoint = checkpoint or self._fresh(StreamProgress(name=stream.name))

    @property
    def progress(self) -> StreamProgress:
        return self.checkpoint.progress

    def _fresh(self, progress: StreamProgress) -> Checkpoint:
        begun = iso(self._control.clock.now())
        return Checkpoint(run_id=self._run_id, fingerprint=self._fingerprint, begun_at=begun, progress=progress)

    def unseen(self, most: int) -> list[str]:
        """Ids of stored objects that the read did not bring, at most so many."""
        return self._records.unseen(most)

    async def read(self) -> Checkpoint:
        """Reads to the end; the returned checkpoint holds the counts. Raises SliceOver, Postponed, SourceProblem, and
        whatever `beat` raises; all that was read before is durable then.
        """
        await self._load()
        self.progress.phase = "reading"
        if self._resumed is None:
            self.progress.expected = await self._pages.count()
            await self._control.save(self.checkpoint)
        try:
            while True:
                try:
                    await self._enumerate()
                    break
                except PageTokenExpired:
                    await self._start_again()
        except (SliceOver, Postponed):
            await self._cut()  # also a slice that was all waiting leaves its pages durable, or it would never get on
            await self._settle()
            raise
        finally:
            if self._writing:  # a write that was begun is ended: cutting it would leave look-ups without their record
                await asyncio.gather(self._writing, return_exceptions=True)
        self.progress.phase = "done"
        self.progress.not_seen = len(self._records) - self._records.seen_count
        return self.checkpoint

    async def _load(self) -> None:
        async for page in self._store.heads():
            self._records.load((h.object_id, h.digest, h.changed_day) for h in page if h.born_in != self._run_id)
            for head in page:
                if head.born_in == self._run_id:
                    self._born.add(head.object_id)
        if self._stream.by_domain or self._stream.by_group or self._stream.last_seen:
            async for page in self._store.heads("OutOfScope"):
                self._stubs.load((h.object_id, h.digest, h.changed_day) for h in page)
                # What left in an earlier slice keeps its place, or the bitmap would point to the wrong records.
                self._records.load((h.object_id, h.digest, h.changed_day) for h in page if h.left_in == self._run_id)
        self._records.start(self.checkpoint.seen_bits())
        self._stubs.start()
        self.progress.new = len(self._born)

    async def _enumerate(self) -> None:
        link = self.checkpoint.next_link
        fetch = asyncio.ensure_future(self._pages.page(link))
        try:
            while True:
                page = await fetch
                last = page.next_link is None
                if not last:
                    if page.next_link == link:
                        raise SourceProblem(
                            "Microsoft Graph sent a page that links to itself.",
                            code="graph-page-loop", remedy="The next run tries again by itself.", transient=True,
                        )  # fmt: skip
                    link = page.next_link
                    fetch = asyncio.ensure_future(self._pages.page(link))
                    await asyncio.sleep(0)  # the next request leaves before this page is worked on
                await self._take(page, link)
                await self._control.beat(self.progress)
                if last:
                    await self._cut()
                    await self._settle()
                    return
                if self._flush_due():
                    await self._cut()
                if self._control.time_left() <= 0:
                    raise SliceOver
        finally:
            if not fetch.done():
                fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)

    async def _take(self, page: Page, next_link: str | None) -> None:
        for number, item in enumerate(page.items):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            self._take_one(item)
        progress = self.progress
        progress.pages += 1
        progress.read += len(page.items)
        self.checkpoint.next_link = next_link
        self._pages_since += 1

    def _take_one(self, item: dict[str, Any]) -> None:
        object_id = item["id"]
        columns = self._mapper(item)
        body = kept_json(columns)
        digest = int.from_bytes(hashlib.sha256(body).digest()[:8])
        place, stub = self._records.find(object_id), self._stubs.find(object_id)
        changed = (place >= 0 and self._records.digest(place) != digest) or (
            place < 0 and stub >= 0 and self._stubs.digest(stub) != digest
        )
        reason = self._scope.left_out(item, lambda: self._last_change(place, stub, changed=changed))
        if reason:
            self._leave_out(Write(object_id, Act.OUTSIDE, {}, body, digest, reason, changed=changed), place, stub)
            return
        if place >= 0 and not changed and stub < 0:
            if self._records.mark(place):
                self.progress.unchanged += 1
            return
        card = {name: columns[name] for name in CARD_COLUMNS if name in columns}
        write = Write(object_id, Act.NEW, card, body, digest, had_stub=stub >= 0, changed=changed)
        if place < 0:
            if not self._born.add(object_id):
                write.act = Act.CHANGE  # seen twice in this run: compared with what was stored for the first one
            else:
                self.progress.new += 1
            self._pend(write)
        else:
            write.act = Act.CHANGE
            if self._records.mark(place):
                self.progress.changed += changed
                self.progress.unchanged += not changed
            self._pend(write)

    def _last_change(self, place: int, stub: int, *, changed: bool) -> int | None:
        """The day of the last change that we saw; today for one seen just now."""
        if changed:
            return int(self._control.clock.now().timestamp() // 86400)
        if place >= 0:
            return self._records.changed_day(place) or None
        return (self._stubs.changed_day(stub) or None) if stub >= 0 else None

    def _leave_out(self, write: Write, place: int, stub: int) -> None:
        first_time = self._records.mark(place) if place >= 0 else self._stubs.mark(stub) if stub >= 0 else True
        if first_time:
            self.progress.out_of_scope += 1
        if place >= 0 or write.object_id in self._born:
            write.act = Act.LEAVE
            self._pend(write)
        elif stub < 0 or write.changed:
            self._pend(write)

    def _pend(self, write: Write) -> None:
        before = self._pending.get(write.object_id)
        if before is not None:
            self._pending_bytes -= len(before.body)
            if before.act is Act.NEW and write.act is Act.CHANGE:
                write.act = Act.NEW
        self._pending[write.object_id] = write
        self._pending_bytes += len(write.body)

    def _flush_due(self) -> bool:
        return (
            self._pages_since >= FLUSH_PAGES
            or self._pending_bytes >= FLUSH_BYTES
            or self._control.clock.monotonic() - self._flushed_at >= FLUSH_SECONDS
        )

    async def _cut(self) -> None:
        """Hands what is pending to the writer, once the writer is done with what it had: one batch waits at most."""
        await self._settle()
        writes, self._pending, self._pending_bytes = list(self._pending.values()), {}, 0
        self._pages_since, self._flushed_at = 0, self._control.clock.monotonic()
        durable = self.checkpoint.with_seen(bytes(self._records.seen)).model_copy(deep=True)
        self._writing = asyncio.create_task(self._write(writes, durable))

    async def _write(self, writes: list[Write], durable: Checkpoint) -> None:
        await self._store.write(writes)
        await self._control.save(durable)

    async def _settle(self) -> None:
        if self._writing:
            writing, self._writing = self._writing, None
            await writing

    async def _start_again(self) -> None:
        """Begins the enumeration anew with what was seen kept: reading an object twice costs nothing."""
        await self._cut()
        await self._settle()
        pages = self.progress.pages
        stuck = 0 if pages > self.checkpoint.best_pages else self.checkpoint.stuck + 1
        if stuck >= _MOST_STUCK:
            raise SourceProblem(
                f"Microsoft Graph dropped its page token {self.progress.restarts + 1} times, the last {_MOST_STUCK} times "
                f"before page {self.checkpoint.best_pages}.",
                code="graph-page-token-expired",
                remedy="Everybody read so far is stored and nobody was removed; the next run begins again by itself.",
                transient=True,
            )
        self.progress.restarts += 1
        self.progress.pages = self.progress.read = 0
        best = max(pages, self.checkpoint.best_pages)
        update = {"next_link": None, "best_pages": best, "stuck": stuck}
        self.checkpoint = self.checkpoint.with_seen(bytes(self._records.seen)).model_copy(update=update)
        await self._control.save(self.checkpoint)
