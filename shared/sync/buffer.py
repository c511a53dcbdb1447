"""Rows that wait to be written: collected until a batch is worth its while, with one batch being written at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shared.clock import Clock
from shared.domain.write import Act, Write
from shared.sync.limits import Limits


class WriteBuffer:
    """`pages`: how many were read since the last batch left."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._now, self._limits = clock.monotonic, limits
        self._writes: dict[str, Write] = {}
        self._bytes = 0
        self._sent_at = self._now()
        self._writing: asyncio.Task[None] | None = None
        self.pages = 0

    def __len__(self) -> int:
        return len(self._writes)

    @property
    def idle(self) -> bool:
        """Whether nothing is being written."""
        return self._writing is None or self._writing.done()

    def get(self, object_id: str) -> Write | None:
        """What waits to be written of an object."""
        return self._writes.get(object_id)

    def add(self, write: Write) -> None:
        """The last word on an object counts."""
        before = self._writes.get(write.object_id)
        if before is not None:
            self._bytes -= len(before.body)
            if before.act is Act.NEW and write.act is Act.CHANGE:
                write.act = Act.NEW
                write.had_stub, write.changed = before.had_stub, before.changed or write.changed
        self._writes[write.object_id] = write
        self._bytes += len(write.body)

    def due(self, *, forced: bool, early: bool) -> bool:
        """Whether a batch should leave. With nothing to write (and nothing else that forces it) only now and then, so that
        the checkpoint does not fall behind. `early`: the list is about to end.
        """
        due = self._now() - self._sent_at >= self._limits.flush_seconds
        if not self._writes and not forced:
            return due
        full = self.pages >= self._limits.flush_pages or self._bytes >= self._limits.flush_bytes
        return due or full or (early and self.idle and self.pages > 2)

    def send(self, write: Callable[[list[Write]], Coroutine[Any, Any, None]]) -> None:
        """Begins to write what waits. Call `settle` before: there is one writer."""
        assert self._writing is None
        writes, self._writes, self._bytes = list(self._writes.values()), {}, 0
        self.pages, self._sent_at = 0, self._now()
        self._writing = asyncio.create_task(write(writes))

    async def settle(self) -> None:
        """Waits until what was sent is durable. Raises what went wrong with it."""
        if self._writing:
            writing, self._writing = self._writing, None
            await writing

    async def end(self) -> None:
        """A write that was begun is ended: cutting it would leave look-ups without their record."""
        if self._writing:
            await asyncio.gather(self._writing, return_exceptions=True)
