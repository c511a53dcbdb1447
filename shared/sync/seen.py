"""What was stored when a read began, and what this run has met of it."""

from shared.domain.checkpoint import Checkpoint
from shared.domain.write import Head
from shared.sync.contracts import Store
from shared.sync.index import IdSet, Index
from shared.sync.scope import Scope


class Seen:
    """`records` and `stubs` hold what was stored before, once loaded; `born`, `back` and `touched` what this run wrote:
    new, returned and changed. `recent`: first seen when activity had been read already; `lagging`: written by a run that
    died, so that their look-up rows may be missing; `outside`: out of scope, and no stub of theirs was there; `told`:
    named by pages of changes, and not among the records.
    """

    def __init__(self) -> None:
        self.records, self.stubs = Index(), Index()
        self.born, self.back, self.touched = IdSet(), IdSet(), IdSet()
        self.recent, self.lagging = IdSet(), IdSet()
        self.outside, self.empty, self.told = IdSet(), IdSet(), IdSet()
        self.loaded = False

    @property
    def different(self) -> int:
        """Different objects with a record that the list brought."""
        return self.records.seen_count + len(self.born) + len(self.back)

    def here(self, place: int, object_id: str) -> bool:
        """Whether the object has a record now."""
        return place >= 0 or object_id in self.born or object_id in self.back

    async def load(
        self, store: Store, scope: Scope, checkpoint: Checkpoint, unfinished: frozenset[str], *, stubs: bool
    ) -> bool:
        """Reads what is stored. False where the checkpoint's bitmap does not fit it: somebody else wrote."""
        run = checkpoint.run_id
        async for page in store.heads():
            self.records.load(head[:3] for head in page if self._old(head, run, scope, unfinished))
        if stubs:
            left: list[Head] = []
            async for page in store.stub_heads():
                self.stubs.load(head[:3] for head in page)
                left += [head for head in page if head.left_in == run]
            # What left in an earlier slice keeps its place, or the bitmap would point to the wrong records; unless the
            # slice died between stub and record: then it has its place.
            self.records.load([head[:3] for head in left if self.records.find(head.object_id) < 0])
        return checkpoint.stored == len(self.records)

    def _old(self, head: Head, run: str, scope: Scope, unfinished: frozenset[str]) -> bool:
        """Whether the record was there before this run."""
        if scope.unknown_since(head.first_seen):
            self.recent.add(head.object_id)
        if head.written_by == run:
            if head.written_as != "changed":
                (self.born if head.written_as == "new" else self.back).add(head.object_id)
                return False
            self.touched.add(head.object_id)
        elif head.written_by in unfinished:
            self.lagging.add(head.object_id)
        return True

    def start(self, bits: bytes | None) -> None:
        """Everything is loaded; `bits` is the bitmap of an earlier slice of the same run."""
        self.records.start(bits)
        self.stubs.start()
        self.loaded = True

    def begin_again(self) -> None:
        """The list begins anew: reading an object twice costs nothing, but who is out of scope is met anew."""
        self.outside, self.empty = IdSet(), IdSet()
        self.stubs.start()
