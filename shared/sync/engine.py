"""One stream, read to its end: fetch -> map -> compare -> write -> checkpoint. Knows pages and records, no Azure.

A full read lists everything, catches up with what changed while it was listing, asks for whatever is absent, and only then
removes. A delta round begins where the last one ended. While one page is worked on the next is being fetched and the last
batch of rows is being written. A checkpoint names the last page of which every row is durable, so whatever kills this
worker costs at most the pages behind it.
"""

import itertools
from collections.abc import Iterator

from shared.connectors.base import Proof
from shared.domain.checkpoint import Checkpoint, Phase
from shared.domain.write import Act, Write
from shared.graph.answers import Postponed
from shared.sync.catch_up import CatchUp
from shared.sync.contracts import Store
from shared.sync.lister import Lister
from shared.sync.plan import SliceOver
from shared.sync.reading import Reading
from shared.sync.removals import Removals
from shared.tasks import both


class StreamReader:
    """Reads one stream for one run; made anew in every slice."""

    def __init__(self, reading: Reading, leader: Store | None = None) -> None:
        """`leader`: the records that these rows add to, where they are none of their own."""
        self._reading, self._leader = reading, leader
        self._lister, self._catch_up = Lister(reading), CatchUp(reading)
        self._removals = Removals(reading.leavers)

    @property
    def checkpoint(self) -> Checkpoint:
        return self._reading.checkpoint

    @property
    def stored_records(self) -> int:
        """How many records there are now."""
        reading = self._reading
        p = reading.progress
        before = reading.checkpoint.stored if reading.plan.full else reading.plan.records
        return max(0, before + p.new + p.returned - p.left_scope - p.removed)

    async def read(self) -> Checkpoint:
        """Reads to the end; the returned checkpoint holds the counts. Raises StartOver, SliceOver, Postponed,
        SourceProblem, and whatever `beat` raises; all that was read before is durable then.
        """
        reading = self._reading
        await reading.leavers.load()
        if reading.plan.full and reading.checkpoint.phase not in (Phase.REMOVALS, Phase.DONE):
            await reading.load()
        reading.progress.phase = "reading"
        if reading.fresh:
            await self._begin()
        steps = {
            Phase.LISTING: self._lister.read,
            Phase.ENUMERATING: self._lister.read,
            Phase.CHANGES: self._catch_up.read,
            Phase.ABSENT: self._absent,
            Phase.REMOVALS: self._remove,
        }
        try:
            while reading.checkpoint.phase is not Phase.DONE:
                await steps[reading.checkpoint.phase]()
        except (SliceOver, Postponed):
            await reading.cut()  # also a slice that was all waiting leaves its pages durable, or it would never get on
            await reading.buffer.settle()
            raise
        finally:
            await reading.source.stop()
            await reading.buffer.end()
        reading.progress.phase = "done"
        return reading.checkpoint

    async def _begin(self) -> None:
        """Before the first page: a link to catch up from, and Graph's count."""
        reading = self._reading
        checkpoint = reading.checkpoint
        if reading.plan.full:
            checkpoint.phase = Phase.LISTING
            checkpoint.stored = len(reading.seen.records)
            checkpoint.delta_link, reading.progress.expected = await both(
                reading.source.latest(), reading.source.count()
            )
            await reading.control.save(reading.durable())
        else:
            # A round that brings nothing costs no checkpoint: the first batch of rows announces the run.
            checkpoint.phase, checkpoint.delta_link = Phase.CHANGES, reading.plan.delta_link
            reading.unannounced = reading.durable()

    async def _absent(self) -> None:
        reading = self._reading
        progress, records = reading.progress, reading.seen.records
        if reading.plan.full and self._leader:
            await self._drop_leaderless(self._leader)
        elif reading.plan.full:
            if progress.counted_after is None:
                progress.counted_after = await reading.source.count()
            progress.not_seen = len(records) - records.seen_count
            if progress.not_seen and self.complete:
                await self._ask(records.unseen(), reading.leavers.most_asked(len(records)))
        else:
            progress.ids = progress.reported_present + progress.reported_removed
            due = reading.leavers.due()
            await self._ask(iter(due), len(due))
        if reading.plan.full and self.complete:
            await self._forget_stubs()
        before = len(records) if reading.plan.full else reading.plan.records
        gone = await self._removals.decide(before + progress.new + progress.returned)
        if progress.not_seen:
            progress.not_seen -= sum(records.is_unseen(object_id) for object_id in gone)
        self._note_stale(set(gone))
        await reading.advance(Phase.REMOVALS)

    async def _ask(self, absent: Iterator[str], most: int) -> None:
        reading = self._reading
        async for _ in reading.leavers.ask(absent, most):
            await reading.control.beat(reading.progress)
            if reading.control.time_left() <= 0:
                raise SliceOver

    def _note_stale(self, gone: set[str]) -> None:
        """Objects that stay although the read did not bring them: their values are not as fresh as the rest."""
        reading = self._reading
        if self._leader:
            return  # of an object that a list does not bring, nothing new is known
        most = reading.control.limits.stale
        unseen = itertools.chain(reading.seen.records.unseen(), sorted(reading.old))
        absent = (object_id for object_id in unseen if object_id not in gone)
        kept = dict.fromkeys(self._removals.kept(most)) | dict.fromkeys(itertools.islice(absent, most))
        reading.checkpoint.stale = sorted(kept)[:most]
        reading.checkpoint.many_stale = len(kept) >= most

    async def _drop_leaderless(self, leader: Store) -> None:
        """Rows that the list did not bring and whose leader's record is gone. Nothing is lost: that one has a tombstone. All that it
        did not bring, where the stream says so.
        """
        reading = self._reading
        all_of_them = reading.stream.drops_absent and self.complete
        unseen, at_once = reading.seen.records.unseen(), reading.control.limits.at_once
        while chunk := list(itertools.islice(unseen, at_once)):
            known = {} if all_of_them else await leader.find(chunk, stubs=True)
            gone = [key for key in chunk if all_of_them or (known[key].row is None and known[key].stub is None)]
            await reading.store.write([Write(key, Act.REMOVE, {}, b"", 0, "") for key in gone])
            await reading.control.beat(reading.progress)

    async def _forget_stubs(self) -> None:
        """Stubs of objects that are gone. What an earlier slice of the run saw this one can't tell, so it asks."""
        reading, most = self._reading, self._reading.control.limits.stubs
        unseen = list(itertools.islice(reading.seen.stubs.unseen(), most + 1))
        if not reading.fresh:
            if len(unseen) > most:
                return  # the next full read that fits one slice looks again
            answers = await reading.source.ask(unseen) if unseen else {}
            unseen = [object_id for object_id in unseen if answers.get(object_id) in ("gone", "deleted")]
        if unseen:
            await reading.store.drop_stubs(unseen)

    @property
    def complete(self) -> bool:
        """Whether the list brought everything, as the stream's proof asks; a round of changes needs no proof."""
        return not self.unproved

    @property
    def unproved(self) -> str:
        """Why nothing shows that the list brought everything; empty where it did. By counts: the different ids lie between
        Graph's counts before and after, give or take what it reported as changed meanwhile. An empty list proves nothing
        where there were records.
        """
        reading = self._reading
        progress = reading.progress
        if not reading.plan.full:
            return ""
        if progress.ids == 0 and reading.checkpoint.stored > 0:
            return "empty-answer"
        if reading.stream.proof is Proof.WHOLE:
            return ""
        if progress.expected is None or progress.counted_after is None:
            return "no-count"
        low = min(progress.expected, progress.counted_after) - progress.reported_present - progress.reported_removed
        high = max(progress.expected, progress.counted_after) + progress.reported_present + progress.reported_removed
        return "" if low <= progress.ids <= high else "counts-differ"

    async def _remove(self) -> None:
        reading = self._reading
        while True:
            async for step in self._removals.settle():
                for item in step.items:
                    known = await reading.store.find([item["id"]], stubs=True)
                    self._catch_up.take(item, None, known[item["id"]], judged=True)
                await reading.store.write(step.writes)
                if reading.buffer:  # who leaves the scope has left before the hold is forgotten
                    await reading.cut()
                    await reading.buffer.settle()
                await self._removals.drop(step)
                await reading.control.beat(reading.progress)
                if reading.control.time_left() <= 0:
                    raise SliceOver
            if not await self._removals.go_on():
                break
            await reading.cut()
            await reading.buffer.settle()
        await reading.advance(Phase.DONE)
